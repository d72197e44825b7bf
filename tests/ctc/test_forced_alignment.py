"""Forced alignment against the best of all paths."""

import itertools

import numpy as np
import pytest

from hf_rspin.ctc.forced_alignment import forced_align


def log_probabilities(frames, classes, seed):
    logits = np.random.default_rng(seed).normal(0, 2, (frames, classes))
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def collapsed(path, blank=0):
    return [one for one, _ in itertools.groupby(path) if one != blank]


def frames_of(path, blank=0):
    """Return (start, end) of each label of a path."""
    found, place = [], 0
    for one, group in itertools.groupby(path):
        length = len(list(group))
        if one != blank:
            found.append((place, place + length))
        place += length
    return found


def best_of_all(scores, labels, blank=0):
    paths = itertools.product(range(scores.shape[1]), repeat=len(scores))
    saying = [path for path in paths if collapsed(path, blank) == labels]
    totals = [sum(scores[i, one] for i, one in enumerate(path)) for path in saying]
    return saying[int(np.argmax(totals))], max(totals)


@pytest.mark.parametrize("labels", [[1], [1, 2], [1, 1], [2, 2, 1], [1, 2, 1, 1], []])
@pytest.mark.parametrize("frames", [5, 6])
def test_it_is_the_best_of_all_paths(labels, frames):
    for seed in range(10):
        scores = log_probabilities(frames, 3, seed)
        path, total = best_of_all(scores, labels)
        found = forced_align(scores, labels, spread=0)
        assert found.path.tolist() == list(path)
        assert found.score == pytest.approx(total / frames)
        assert list(zip(found.starts, found.ends, strict=True)) == frames_of(path)
        means = [scores[start:end, one].mean()
                 for (start, end), one in zip(frames_of(path), labels, strict=True)]  # fmt: skip
        assert found.scores == pytest.approx(means)


def test_the_blank_may_be_any_class():
    scores = log_probabilities(6, 3, 3)
    path, _ = best_of_all(scores, [0, 1, 1], blank=2)
    assert forced_align(scores, [0, 1, 1], blank=2).path.tolist() == list(path)


def test_just_enough_frames_leave_one_path():
    found = forced_align(log_probabilities(4, 3, 0), [1, 1, 2], spread=None)
    assert found.path.tolist() == [1, 0, 1, 2]
    assert found.starts.tolist() == [0, 2, 3] and found.ends.tolist() == [2, 3, 4]


def certain(path, classes=3):
    scores = np.full((len(path), classes), -50.0)
    scores[np.arange(len(path)), path] = 0.0
    return scores


@pytest.mark.parametrize(
    ("spread", "starts", "ends"),
    [
        (0, [2, 8], [3, 10]),
        (1, [1, 7], [4, 11]),
        (2, [0, 6], [5, 12]),
        (None, [0, 6], [6, 14]),  # five blanks between: three before, two after
        (9, [0, 6], [6, 14]),
    ],
)
def test_blanks_go_to_the_nearer_label(spread, starts, ends):
    found = forced_align(certain([0, 0, 1, 0, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0]), [1, 2], spread=spread)
    assert (found.starts.tolist(), found.ends.tolist()) == (starts, ends)
    assert found.scores.tolist() == [0.0, 0.0]


def test_impossible_frames_are_avoided():
    scores = certain([1, 1, 2])
    scores[1, 1] = -np.inf
    assert forced_align(scores, [1, 2]).path.tolist() in ([1, 0, 2], [1, 2, 2])
    scores[2, 2] = scores[1, 2] = -np.inf
    with pytest.raises(ValueError, match="no path .* vocabulary"):
        forced_align(scores, [1, 2])


def test_no_label_at_all_is_all_blank():
    found = forced_align(certain([0, 1, 0]), [])
    assert found.path.tolist() == [0, 0, 0] and len(found.starts) == 0
    assert found.score == pytest.approx(-50 / 3)
    assert len(forced_align(np.zeros((0, 3)), []).path) == 0


@pytest.mark.parametrize(
    ("scores", "labels", "options", "message"),
    [
        (np.zeros((2, 3)), [1, 1], {}, "2 frames for 2 labels; expected at least 3"),
        (np.zeros((0, 3)), [1], {}, "0 frames for 1 labels; expected at least 1"),
        (np.zeros((4, 3)), [1, 3], {}, "the label 3 for 3 classes .* expected 0 to 2"),
        (np.zeros((4, 3)), [0], {}, "the label 0 .* no blank among the labels"),
        (np.zeros((4, 3)), [1], {"blank": 3}, "the blank 3"),
        (np.zeros(4), [1], {}, r"\(4,\); expected \(frames, classes\)"),
        (np.full((4, 3), np.nan), [1], {}, "hold NaN"),
        (np.zeros((4, 3)), [1], {"spread": -1}, "spread is -1"),
    ],
)
def test_what_cannot_be_aligned_is_refused(scores, labels, options, message):
    with pytest.raises(ValueError, match=message):
        forced_align(scores, labels, **options)
