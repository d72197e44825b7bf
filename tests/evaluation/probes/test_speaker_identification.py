import numpy as np
import pytest

from hf_rspin.evaluation import (
    EvaluationSet,
    SpeakerIdentification,
    SpeakerProbe,
    split_within_speakers,
)


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
    assert "1 speaker has two" in SpeakerIdentification("test").reason_to_skip(unknown, unknown)


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
