import numpy as np
import pytest
import torch

from hf_rspin.evaluation import (
    Evaluation,
    EvaluationSet,
    GaussianNoise,
    ProbeArguments,
    SpeakerIdentification,
    SpeakerProbe,
    split_within_speakers,
)
from hf_rspin.evaluation.probes.trained.folder import load_probe

from ..corpora import FrameStatistics, loud_and_soft


def test_every_test_speaker_is_trained_on():
    speakers = ["a"] * 10 + ["b"] * 3 + ["c"] + ["d"] * 2
    train, test = split_within_speakers(speakers, 0.3)
    names = np.array(speakers)
    assert set(names[test]) == set(names[train]) == {"a", "b", "d"}
    assert not set(train) & set(test)
    assert (names[test] == "a").sum() == 3
    with pytest.raises(ValueError, match="two such speakers"):
        split_within_speakers(["a", "a", "b"])


def test_unknown_speakers_are_left_out():
    speakers = ["a", None, "b", "a", None, "b", None, None]
    train, test = split_within_speakers(speakers)
    assert sorted([*train, *test]) == [0, 2, 3, 5]
    unknown = EvaluationSet(list("abcd"), [{}] * 4, ["x", "x", None, None])
    reason = SpeakerIdentification("train").reason_to_skip(unknown, unknown)
    assert "one speaker only" in reason
    reason = SpeakerIdentification("test").reason_to_skip(unknown, unknown)
    assert "1 of 1 speakers (4 utterances) said two or more" in reason
    few = EvaluationSet(list("abc"), [{}] * 3, ["x", "y", "z"])  # a small subset of many
    reason = SpeakerIdentification("test").reason_to_skip(few, few)
    assert "0 of 3 speakers" in reason and "a subset is spread over the speakers" in reason


def test_accuracy_tells_the_layer_that_holds_the_speaker():
    rng = np.random.default_rng(0)
    speakers = [f"s{i}" for i in np.repeat(np.arange(8), 12)]
    voices = np.repeat(rng.normal(size=(8, 6)), 12, axis=0)
    means = np.stack([rng.normal(size=(96, 6)), voices + rng.normal(0, 0.1, (96, 6))], axis=1)
    train, test = split_within_speakers(speakers)
    probe = SpeakerProbe().fit(means[train], [speakers[i] for i in train])
    chance, known = probe.accuracy(means[test], [speakers[i] for i in test])
    assert chance < 0.4
    assert known > 0.95


def test_scale_of_the_features_does_not_matter():
    rng = np.random.default_rng(1)
    speakers = [f"s{i}" for i in np.repeat(np.arange(4), 10)]
    means = np.repeat(rng.normal(size=(4, 1, 5)), 10, axis=0) + rng.normal(0, 1, (40, 1, 5))
    accuracies = [
        SpeakerProbe()
        .fit(scale * means[::2], speakers[::2])
        .accuracy(scale * means[1::2], speakers[1::2])
        for scale in (1.0, 1e3)
    ]
    assert accuracies[0] == accuracies[1]


def test_what_is_missing_is_said():
    audio = [{}] * 4
    known = EvaluationSet(list("abcd"), audio, ["x", "x", "y", "y"])
    unknown, single = (
        EvaluationSet(list("abcd"), audio),
        EvaluationSet(list("abcd"), audio, ["x"] * 4),
    )
    assert SpeakerIdentification().reason_to_skip(known, None) is None
    assert SpeakerIdentification("train").reason_to_skip(known, known) is None
    for probe, test, train, reason in (
        (SpeakerIdentification(), unknown, known, "no speaker names"),
        (SpeakerIdentification("train"), known, None, "no speaker names"),
        (SpeakerIdentification("train"), known, unknown, "no speaker names"),
        (SpeakerIdentification("train"), known, single, "one speaker only"),
        (SpeakerIdentification(), single, known, "two such speakers"),
    ):
        assert reason in probe.reason_to_skip(test, train)
    with pytest.raises(ValueError, match="got learn_from 'dev'; expected test or train"):
        SpeakerIdentification("dev")


QUICK = ProbeArguments(num_updates=60, batch_size=8, evaluations=3, learning_rate=3e-2)


def run(folder, test, train, probe, conditions=()):
    evaluation = Evaluation(
        folder, test, conditions, [probe], train, torch.float32, progress=False
    )
    evaluation.run(FrameStatistics())
    return {cell.condition: cell for cell in evaluation.cells()}


@pytest.mark.parametrize("learn_from", ["test", "train"])
def test_the_probe_on_all_layers_names_speakers_and_is_a_folder(tmp_path, learn_from):
    train, test = loud_and_soft(tmp_path, "a", 20), loud_and_soft(tmp_path, "bb", 20)
    probe = SpeakerIdentification(learn_from, arguments=QUICK)
    cells = run(tmp_path / "out", test, train, probe, [GaussianNoise(-30.0)])
    clean = cells["clean"]
    first, *layers = clean.rows
    assert (first.metric, first.value, first.layer) == ("sid_accuracy", 1, None)
    assert [(r.metric, r.layer) for r in layers] == [
        (metric, layer) for metric in ("speaker_accuracy", "sid_layer_weight") for layer in (0, 1)
    ]
    assert layers[0].value == 1 and layers[2].value > layers[3].value
    details = clean.details
    assert sum(details["errors"]) == 0 and len(details["lengths"]) == len(details["ids"])
    assert details["groups"] == [test.speakers[test.ids.index(key)] for key in details["ids"]]
    assert details["learning_rate"] == 3e-2 and details["dev_error"] == 0
    noisy = cells["gaussian"]
    assert noisy.rows[0].value == 1 - np.mean(noisy.details["errors"]) < 0.9
    assert "learning_rate" not in noisy.details
    (folder,) = (tmp_path / "out" / "probes").iterdir()
    named = load_probe(folder).recognize(FrameStatistics()(test.read(0)))
    assert named == test.speakers[0]


def test_without_the_probe_on_all_layers_there_are_the_layers_only(tmp_path):
    test = loud_and_soft(tmp_path, "a")
    probe = SpeakerIdentification(all_layers=False)
    (cell,) = run(tmp_path / "out", test, None, probe).values()
    assert {row.metric for row in cell.rows} == {"speaker_accuracy"} and cell.details == {}
    assert not (tmp_path / "out" / "probes").exists()
    assert probe.settings() == SpeakerIdentification(
        all_layers=False, arguments=QUICK, crop_samples=7
    ).settings() != SpeakerIdentification().settings()  # fmt: skip
    with pytest.raises(ValueError, match="got crop_samples 0"):
        SpeakerIdentification(crop_samples=0)


def test_a_speaker_that_training_had_not_is_an_error_and_one_utterance_is_trained_on(tmp_path):
    train, test = loud_and_soft(tmp_path, "a"), loud_and_soft(tmp_path, "bb")
    test.speakers[4] = test.speakers[6] = "new"
    train.speakers[3] = "once"
    probe = SpeakerIdentification("train", arguments=QUICK)
    cell = run(tmp_path / "out", test, train, probe)["clean"]
    assert cell.details["errors"][4] == cell.details["errors"][6] == 1
    assert cell.rows[0].value <= 10 / 12
    (folder,) = (tmp_path / "out" / "probes").iterdir()
    assert load_probe(folder).classes == ("0", "1", "once")


def test_seeds_train_anew_but_are_tested_on_the_same_utterances(tmp_path):
    test = loud_and_soft(tmp_path, "a", 20)
    arguments = ProbeArguments(num_updates=2, learning_rate=1e-3)
    found = [
        run(tmp_path / "out", test, None, SpeakerIdentification(seed=seed, arguments=arguments))
        for seed in (0, 1)
    ]
    one, two = (cells["clean"] for cells in found)
    assert (one.seed, two.seed) == (0, 1) and one.details["ids"] == two.details["ids"]
    assert one.details["history"] != two.details["history"]
