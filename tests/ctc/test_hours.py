"""`--hours` of a fine-tune: a part of the utterances to train on; dev stays as it is."""

import json

import numpy as np
import pytest

from hf_rspin.audio import num_frames
from hf_rspin.data import load_corpus
from hf_rspin.units import FrameLabels

from .conftest import call_main


def test_a_part_of_the_training_utterances_is_learned(encoder, tones, tmp_path):
    given = ["--encoder", encoder, "--corpus", tones, "--output_dir", tmp_path / "run", "--target",
             "phones", "--corpus_split", "train", "--dev_split", "dev", "--max_steps", 1,
             "--batch_seconds", 8, "--use_cpu", "true", "--disable_tqdm", "true"]  # fmt: skip
    call_main(*given, "--hours", 0.002)
    record = json.loads((tmp_path / "run" / "selection.json").read_text())
    results = json.loads((tmp_path / "run" / "results.json").read_text(encoding="utf-8"))
    assert record["utterances"] == results["train"]["utterances"] < record["of_utterances"] == 20
    assert results["train"]["hours"] == pytest.approx(record["hours"])
    assert abs(record["hours"] - 0.002) < 1.0 / 3600 and results["dev"]["utterances"] == 4
    with pytest.raises(SystemExit, match="trained otherwise .selection was .*random. and is None"):
        call_main(*given)


def test_other_selections_ask_labels_of_their_own(encoder, tones, tmp_path):
    labels = tmp_path / "labels"
    rows = load_corpus(tones)
    train = [key for key, split in zip(rows["id"], rows["split"], strict=True) if split == "train"]
    rich = set(train[5:9])  # of five units at random; all others are of one unit
    generator = np.random.default_rng(0)
    pairs = {
        key: generator.integers(0, 5 if key in rich else 1, num_frames(round(seconds * 16_000)))
        for key, seconds in zip(rows["id"], rows["duration"], strict=True)
    }
    FrameLabels.from_sequences(pairs, 5).save(labels)
    given = ["--encoder", encoder, "--corpus", tones, "--target", "phones", "--corpus_split",
             "train", "--dev_split", "dev", "--max_steps", 1, "--batch_seconds", 8, "--use_cpu",
             "true", "--disable_tqdm", "true", "--hours", 0.002]  # fmt: skip
    for select in ("unit_coverage", "loss"):
        folder = tmp_path / select
        chosen = [*given, "--select", select, "--output_dir", folder]
        with pytest.raises(SystemExit, match=f"{select}, which looks at .* --selection_labels"):
            call_main(*chosen)
        call_main(*chosen, "--selection_labels", labels)
        record = json.loads((folder / "selection.json").read_text())
        assert record["select"] == select and record["utterances"] < record["of_utterances"]
        assert rich <= set(record["ids"])  # most n-grams, and the hardest to tell
