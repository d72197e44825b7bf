import logging

import numpy as np
import pytest

from hf_rspin.audio import num_frames
from hf_rspin.data import TwoViewDataset, load_corpus
from hf_rspin.data.checks import (
    ConfigurationError,
    check_batches,
    check_examples,
    check_labels,
    raise_problems,
)
from hf_rspin.views import SpinViews

PLAIN = SpinViews(perturb_speaker=False, equalize=False)


class Labels(dict):
    num_labels = 5

    def length(self, key):
        return len(self[key])


@pytest.fixture
def corpus(write, tmp_path):
    for index in range(4):
        write(f"u{index}.wav", 1.0 + index / 10)
    return load_corpus(tmp_path)


def labels_of(corpus, extra=0):
    lengths = [num_frames(round(seconds * 16_000)) + extra for seconds in corpus["duration"]]
    return Labels({k: np.zeros(n, int) for k, n in zip(corpus["id"], lengths, strict=True)})


def dataset(corpus, labels=None, **options):
    return TwoViewDataset(corpus, PLAIN, labels, **{"min_seconds": 0.5, **options})


def only(problems):
    assert len(problems) == 1
    return problems[0]


def test_good_data_has_no_problem(corpus):
    good = dataset(corpus, labels_of(corpus))
    assert check_batches(good, 2.0, 2) + check_labels(good, 5) + check_examples(good) == []
    assert check_labels(dataset(corpus), None) == []


def test_nothing_left(corpus):
    assert "4 are shorter" in only(check_batches(dataset(corpus, min_seconds=9), 100, 1))


def test_batches_too_small_for_one_utterance(corpus):
    assert "longest utterance (1.30 s)" in only(check_batches(dataset(corpus), 1.2, 1))
    slower = only(check_batches(dataset(corpus), 1.6, 1, slowest=0.8))
    assert "batch_seconds=1.6 cannot hold" in slower and "(1.62 s at speed 0.8)" in slower


def test_sizes_that_hold_nothing(corpus):
    assert "nan cannot hold the longest" in only(check_batches(dataset(corpus), float("nan"), 1))
    tiny = dataset(corpus, min_seconds=0, max_seconds=0.02)
    assert "max_seconds=0.02 is shorter than one frame" in only(check_batches(tiny, 9, 1))


def test_more_processes_than_utterances(corpus):
    assert "8 processes share 4" in only(check_batches(dataset(corpus), 100, 8))


def test_utterances_without_labels_are_named(corpus):
    labels = labels_of(corpus)
    del labels["u2"]
    assert "1 of 4 utterances have no labels, such as u2" in only(
        check_labels(dataset(corpus, labels), 5)
    )


def test_labels_beyond_the_head(corpus):
    problem = only(check_labels(dataset(corpus, labels_of(corpus)), 4))
    assert "num_pseudo_labels=5" in problem


def test_labels_of_other_audio(corpus):
    problem = only(check_labels(dataset(corpus, labels_of(corpus, extra=10)), 5))
    assert "such as u0: 59 labels, 49 frames" in problem


def test_few_that_do_not_fit_are_left_to_training_unless_strict(corpus, caplog, monkeypatch):
    labels = labels_of(corpus)
    labels["u1"] = labels["u1"][:-9]
    monkeypatch.setattr("hf_rspin.data.checks.TOLERATED_SHARE", 0.3)
    with caplog.at_level(logging.WARNING):
        assert check_labels(dataset(corpus, labels), 5) == []
    assert "such as u1" in caplog.text
    assert "u1" in only(check_labels(dataset(corpus, labels, strict=True), 5))


def test_head_and_labels_go_together(corpus):
    assert "has none" in only(check_labels(dataset(corpus), 5))
    assert "no auxiliary head" in only(check_labels(dataset(corpus, labels_of(corpus)), None))


def test_audio_that_vanished_since(corpus, tmp_path):
    for file in tmp_path.glob("*.wav"):
        file.unlink()
    assert "in a row could not be used" in only(check_examples(dataset(corpus)))


def test_all_reasons_in_one_error():
    raise_problems([])
    with pytest.raises(ConfigurationError, match=r"(?s)1\. first.*2\. second"):
        raise_problems(["first", "second"])
    with pytest.raises(ConfigurationError, match=r"^Training cannot start: only\.$"):
        raise_problems(["only."])


def test_labels_are_not_asked_for_where_their_loss_is_off():
    class Unlabelled:
        frame_labels = None

    assert check_labels(Unlabelled(), 7, required=False) == []
    assert "the data has none" in check_labels(Unlabelled(), 7)[0]
