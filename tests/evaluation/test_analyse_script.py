"""The analysis as a user runs it: encoders, labels, costs."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from hf_rspin.audio import num_frames
from hf_rspin.data.corpus import load_corpus
from hf_rspin.evaluation import EvaluationSet
from hf_rspin.evaluation.label_quality import equal_length_quality, label_quality
from hf_rspin.resources import sample_folder
from hf_rspin.units import FrameLabels


@pytest.fixture
def speech(tmp_path):
    """Twelve aligned utterances of three voices, of both splits."""
    table = pd.read_csv(sample_folder() / "metadata.csv")
    table = table[table["speaker"].isin(["Andrea", "f2", "m3"])]
    for split in ("train", "test"):
        (tmp_path / "speech" / split).mkdir(parents=True)
    for name in table["file_name"]:
        shutil.copy(sample_folder() / name, tmp_path / "speech" / name)
    table.to_csv(tmp_path / "speech" / "metadata.csv", index=False)
    return tmp_path / "speech"


def test_layers_units_and_frames_of_an_encoder_in_one_report(main, speech, encoder, tmp_path):
    encoder.save_pretrained(tmp_path / "encoder")
    main(
        "analyse", "--encoders", tmp_path / "encoder", "mfcc", "--corpus", speech, "--what", "cka",
        "units", "segmentation", "mi", "tsne", "alignment", "--num_units", 6, "--simulated_rooms",
        0, "--num_workers", 1, "--output_dir", tmp_path / "out",
    )  # fmt: skip
    table = pd.read_csv(tmp_path / "out" / "results.csv")
    assert {"cka_debiased", "pnmi", "effective_rank"} <= set(table["metric"])
    assert any(name.startswith("boundary") for name in table["metric"])
    assert any(name.startswith("mi_") for name in table["metric"])
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Analysis of speech encoders" in page and page.count("<figure") > 5


@pytest.fixture
def labels(speech, tmp_path):
    """Labels that are the phones themselves, and labels that are all one."""
    utterances = EvaluationSet.from_corpus(load_corpus(speech))
    names = sorted({p for row in utterances.phones_of_frames() for p in row})
    rows = zip(utterances.ids, utterances.phones_of_frames(), strict=True)
    phones = {key: np.array([names.index(p) for p in row]) for key, row in rows}
    FrameLabels.from_sequences(phones, len(names)).save(tmp_path / "phones")
    constant = {key: np.zeros_like(row) for key, row in phones.items()}
    FrameLabels.from_sequences(constant, 3).save(tmp_path / "constant")
    return utterances


def test_labels_are_compared_with_phones_and_with_equal_lengths(main, labels, speech, tmp_path):
    folders = [tmp_path / "phones", tmp_path / "constant"]
    main(
        "analyse", "--corpus", speech, "--labels", *folders, "--what", "units", "--output_dir",
        tmp_path / "out",
    )  # fmt: skip
    text = (tmp_path / "out" / "results.md").read_text()
    assert "| 100.0 | 100.0 | 100.0 | 0.0 | 100.0 | 1.000 |" in text
    assert "1 of 3" in text and "equal lengths, true number" in text
    assert "Labels in use" in (tmp_path / "out" / "report.html").read_text()
    perfect = label_quality(FrameLabels.load(folders[0]), labels)
    assert perfect.segmentation.r_value == 1 and perfect.num_utterances == len(labels)
    baseline = equal_length_quality(FrameLabels.load(folders[1]), labels)
    assert 0.2 < baseline.f1 < 0.9 and baseline.over_segmentation == pytest.approx(0, abs=0.01)
    constant = label_quality(FrameLabels.load(folders[1]), labels)
    assert constant.segmentation.f1 == 0 and constant.pnmi == 0
    assert constant.counts.tolist() == [len(labels), 0, 0]


def test_labels_of_other_recordings_are_refused(labels, speech, tmp_path):
    other = {"other": np.zeros(50, dtype=int)}
    with pytest.raises(ValueError, match="none of the .* utterances has both.*'other'.*split"):
        label_quality(FrameLabels.from_sequences(other, 2), labels)
    count = num_frames(len(labels.read(0)))
    short = {labels.ids[0]: np.zeros(count - 3, dtype=int)}
    with pytest.raises(ValueError, match=f"has {count - 3} labels and {count} frames"):
        label_quality(FrameLabels.from_sequences(short, 2), labels)


def test_costs_of_runs_stand_beside_those_of_the_paper(main, tmp_path, capsys):
    cost = {
        "processed_hours": 2.5, "updates": 400, "wall_seconds": 480.0, "device_seconds": 480.0,
        "device": "cpu", "device_type": "cpu",
    }  # fmt: skip
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "cost.json").write_text(json.dumps(cost))
    main("analyse", "--what", "cost", "--runs", tmp_path / "run", tmp_path / "gone",
         "--output_dir", tmp_path / "out")  # fmt: skip
    out = capsys.readouterr().out
    assert "R-Spin" in out and "gone holds no cost.json" in out
    row = next(line for line in out.split("\n") if line.startswith("| Your runs | run |"))
    assert "400" in row and "2.5" in row


def test_mistakes_are_said_in_one_sentence(main, speech, tmp_path):
    for given, message in (
        (["--what", "noise"], "got --what noise; expected some of cka, sid"),
        (["--what", "cka"], "nothing to analyse: give --encoders and --corpus"),
        (["--what", "cost", "--encoders", "mfcc"], "--what cost needs --runs"),
        (["--what", "sts", "--encoders", "mfcc", "--corpus", speech], "--what sts needs --sts"),
        (["--what", "cka", "--encoders", "mfcc"], "give --corpus"),
        (["--labels", tmp_path / "gone", "--corpus", speech], "gone"),
    ):
        with pytest.raises(SystemExit, match=message):
            main("analyse", *given, "--output_dir", tmp_path / "out")
    assert not (tmp_path / "out").exists()
