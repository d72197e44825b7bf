import dataclasses
import math

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching

from hf_rspin.evaluation.measures.segmentation import (
    SegmentationScores,
    equal_length_boundaries,
    segmentation_scores,
    unit_boundaries,
)

BOTH = pytest.mark.parametrize("matcher", ["one_to_one", "lenient"])


def draw(seed=0, utterances=25):
    rng = np.random.default_rng(seed)
    return [
        [np.sort(rng.choice(60, rng.integers(0, 15), replace=False)) for _ in range(utterances)]
        for _ in range(2)
    ]


def nearby(true, found, tolerance):
    return np.abs(true[:, None] - found[None]) <= tolerance


@pytest.mark.parametrize("tolerance", [0, 1, 2, 5])
def test_one_to_one_is_a_maximum_matching(tolerance):
    reference, predicted = draw()
    hits = 0
    for true, found in zip(reference, predicted, strict=True):
        graph = csr_matrix(nearby(true, found, tolerance).reshape(len(true), len(found)))
        hits += (maximum_bipartite_matching(graph) >= 0).sum() if graph.nnz else 0
    scores = segmentation_scores(reference, predicted, tolerance)
    total = sum(map(len, reference)), sum(map(len, predicted))
    assert scores.recall == pytest.approx(hits / total[0])
    assert scores.precision == pytest.approx(hits / total[1])
    assert scores.f1 == pytest.approx(2 * hits / sum(total))
    assert scores.over_segmentation == pytest.approx(total[1] / total[0] - 1)


@pytest.mark.parametrize("tolerance", [0, 1, 2, 5])
def test_lenient_counts_whatever_is_nearby(tolerance):
    reference, predicted = draw(1)
    near = [nearby(t, f, tolerance) for t, f in zip(reference, predicted, strict=True)]
    scores = segmentation_scores(reference, predicted, tolerance, "lenient")
    assert scores.recall == pytest.approx(np.mean(np.concatenate([n.any(1) for n in near])))
    assert scores.precision == pytest.approx(np.mean(np.concatenate([n.any(0) for n in near])))


def test_matchers_differ_where_one_boundary_serves_two():
    strict = segmentation_scores([[10, 12]], [[11]], 1)
    lenient = segmentation_scores([[10, 12]], [[11]], 1, "lenient")
    assert (strict.precision, strict.recall) == (1, 0.5)
    assert (lenient.precision, lenient.recall) == (1, 1)


def test_derived_scores_equal_published_ones():
    scores = SegmentationScores.from_rates(0.6476, 0.8787)  # R-Spin, Table 4
    assert scores.f1 == pytest.approx(0.7456, abs=1e-4)
    assert scores.over_segmentation == pytest.approx(0.3569, abs=1e-4)
    assert scores.r_value == pytest.approx(0.6425, abs=1e-4)


@BOTH
def test_identical_boundaries_are_perfect_and_others_are_not(matcher):
    reference, predicted = draw(2)
    perfect = segmentation_scores(reference, reference, 2, matcher)
    assert dataclasses.astuple(perfect) == (1, 1, 1, 0, 1)
    assert segmentation_scores(reference, predicted, 2, matcher).r_value < 0.9


@BOTH
def test_order_of_utterances_and_of_boundaries_does_not_matter(matcher):
    reference, predicted = draw(3)
    expected = segmentation_scores(reference, predicted, 2, matcher)
    order = np.random.default_rng(0).permutation(len(reference))
    shuffled = [reference[i][::-1] for i in order], [list(predicted[i]) for i in order]
    assert segmentation_scores(*shuffled, 2, matcher) == expected


@BOTH
def test_exchanged_sides_exchange_precision_and_recall(matcher):
    reference, predicted = draw(4)
    one = segmentation_scores(reference, predicted, 1, matcher)
    two = segmentation_scores(predicted, reference, 1, matcher)
    assert (one.precision, one.recall, one.f1) == (two.recall, two.precision, two.f1)


@BOTH
def test_more_tolerance_never_finds_less_and_one_to_one_never_more_than_lenient(matcher):
    reference, predicted = draw(5)
    recalls = [segmentation_scores(reference, predicted, t, matcher).recall for t in range(6)]
    assert recalls == sorted(recalls) and recalls[0] < recalls[-1]
    strict = segmentation_scores(reference, predicted, 2)
    lenient = segmentation_scores(reference, predicted, 2, "lenient")
    assert strict.recall <= lenient.recall and strict.precision <= lenient.precision


@BOTH
def test_seconds_give_what_frames_give(matcher):
    reference, predicted = draw(6)
    frames = segmentation_scores(reference, predicted, 1, matcher)
    seconds = [[0.02 * boundaries for boundaries in side] for side in (reference, predicted)]
    assert segmentation_scores(*seconds, 0.02, matcher) == frames


@BOTH
def test_nothing_predicted_nothing_found_nothing_there(matcher):
    silent = segmentation_scores([[3, 9], [4]], [[], []], 2, matcher)
    assert (silent.precision, silent.recall, silent.f1, silent.over_segmentation) == (0, 0, 0, -1)
    assert silent.r_value == pytest.approx(1 - math.sqrt(2) / 2)
    wrong = segmentation_scores([[3, 9]], [[30, 50, 70]], 2, matcher)
    assert (wrong.f1, wrong.over_segmentation) == (0, 0.5)
    for predicted in ([[5, 8]], [[]]):
        empty = segmentation_scores([[]], predicted, 2, matcher)
        assert (empty.precision, empty.recall, empty.f1) == (0, 0, 0)
        assert math.isnan(empty.over_segmentation) and math.isnan(empty.r_value)
    assert segmentation_scores([], [], 2, matcher).f1 == 0


def test_boundaries_of_units_begin_segments():
    units = np.repeat([7, 2, 2, 9], [3, 1, 2, 4])
    assert unit_boundaries(units).tolist() == [3, 6]
    assert unit_boundaries(["a", "b"]).tolist() == [1]
    for short in ([], [5], [5, 5, 5]):
        assert len(unit_boundaries(short)) == 0


@pytest.mark.parametrize(("frames", "count"), [(100, 0), (97, 7), (8, 7), (1, 0), (0, 0)])
def test_equal_lengths_are_equal_up_to_a_frame(frames, count):
    boundaries = equal_length_boundaries(frames, count)
    lengths = np.diff([0, *boundaries, frames])
    assert (len(boundaries), lengths.sum()) == (count, frames)
    assert np.ptp(lengths) <= 1 and (frames == 0 or lengths.min() >= 1)


def test_wrong_inputs_are_refused():
    with pytest.raises(ValueError, match="put those of a single utterance into a list"):
        segmentation_scores([3, 9], [3, 9], 2)
    with pytest.raises(ValueError, match="2 reference and 1 predicted"):
        segmentation_scores([[3], [9]], [[3]], 2)
    with pytest.raises(ValueError, match="predicted boundaries of utterance 1 are not all finite"):
        segmentation_scores([[3], [9]], [[3], [math.nan]], 2)
    with pytest.raises(ValueError, match="tolerance of -1"):
        segmentation_scores([[3]], [[3]], -1)
    with pytest.raises(ValueError, match=r"got matcher 'greedy'; expected one of \['one_to_one'"):
        segmentation_scores([[3]], [[3]], 2, "greedy")
    with pytest.raises(ValueError, match=r"got units \(2, 3\)"):
        unit_boundaries(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="got 8 boundaries for 8 frames"):
        equal_length_boundaries(8, 8)
