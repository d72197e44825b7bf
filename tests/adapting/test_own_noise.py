"""A user's noise is measured in by its split `test`, which training does not hear."""

import csv

import numpy as np
import pytest
import soundfile

from hf_rspin.adapting.before_after import build_evaluation
from hf_rspin.evaluation import EvaluationSet
from hf_rspin.resources import load_sample


@pytest.fixture
def sets():
    return [EvaluationSet.from_corpus(load_sample(split).select([0, 1])) for split in
            ("train", "test")]  # fmt: skip


def write_noise(folder, splits):
    """Tones: of 500 Hz in the split train, of 2 kHz in test."""
    folder.mkdir()
    rows = []
    for number, split in enumerate(splits):
        hertz = {"train": 500, "test": 2000}[split]
        tone = 0.3 * np.sin(2 * np.pi * hertz * np.arange(48_000) / 16_000)
        soundfile.write(folder / f"{number}.wav", tone, 16_000)
        rows.append({"file_name": f"{number}.wav", "split": split})
    with (folder / "metadata.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["file_name", "split"])
        writer.writeheader()
        writer.writerows(rows)
    return folder


def loudest_hertz(condition):
    hiss = 0.01 * np.random.default_rng(0).standard_normal(16_000).astype(np.float32)
    heard = condition(hiss, "any")
    return int(np.abs(np.fft.rfft(heard)).argmax())


@pytest.mark.parametrize(
    ("splits", "name", "hertz"),
    [("train train test", "your noise (unseen)", 2000), ("train train", "your noise", 500)],
)
def test_the_noise_that_training_does_not_hear_is_taken(splits, name, hertz, sets, tmp_path):
    noise = write_noise(tmp_path / "noise", splits.split())
    evaluation = build_evaluation(tmp_path / "out", *sets, speakers=False, noise=str(noise))
    first = next(one for one in evaluation.conditions if one.name != "clean")
    assert first.name == name and loudest_hertz(first) == hertz
