import itertools

import numpy as np
import pytest
import torch

from hf_rspin.evaluation import match_score, retrieve
from hf_rspin.evaluation.measures.query_by_example import (
    detection_scores,
    match_scores,
    rank_takes,
    standardize,
)


def by_enumeration(query, document, distance="exp_cosine"):
    """Try every path: each step of the query advances 0, 1 or 2 frames of the document."""
    query, document = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (query, document))
    costs = 1 - query @ document.T
    costs = np.exp(costs) - 1 if distance == "exp_cosine" else costs
    low, high = costs.min(1, keepdims=True), costs.max(1, keepdims=True)
    costs = (costs - low) / (high - low)
    best = np.inf
    for start in range(len(document)):
        for steps in itertools.product((0, 1, 2), repeat=len(query) - 1):
            places = start + np.cumsum((0, *steps))
            if places[-1] < len(document):
                best = min(best, costs[np.arange(len(query)), places].sum())
    return -best / len(query)


@pytest.mark.parametrize(("query_frames", "document_frames"), [(1, 5), (5, 3), (4, 9), (6, 6)])
def test_match_is_the_best_of_all_paths(query_frames, document_frames):
    generator = np.random.default_rng(query_frames)
    query = generator.standard_normal((query_frames, 4))
    document = generator.standard_normal((document_frames, 4))
    found = match_score(query, document)
    assert found == pytest.approx(by_enumeration(query, document), abs=1e-12)
    assert found == pytest.approx(match_score(3.0 * query, 0.5 * document), abs=1e-12)
    cosine = match_score(query, document, "cosine")
    assert cosine == pytest.approx(by_enumeration(query, document, "cosine"), abs=1e-12)
    assert query_frames == 1 or cosine != found


def test_many_queries_in_many_documents_are_those_one_by_one():
    generator = np.random.default_rng(0)
    queries = [generator.standard_normal((n, 16)) for n in (3, 7, 12)]
    documents = [generator.standard_normal((n, 16)) for n in (1, 9, 20, 4)]
    for distance in ("exp_cosine", "cosine"):
        expected = [[match_score(q, d, distance) for d in documents] for q in queries]
        assert match_scores(queries, documents, distance) == pytest.approx(
            np.array(expected), abs=1e-5
        )


def test_dimensions_are_standardised_over_all_frames():
    generator = np.random.default_rng(0)
    features = [generator.normal(3, 2, (n, 5)) for n in (4, 9)]
    features[0][:, 2] = features[1][:, 2] = 7.0  # a constant dimension stays finite
    frames = np.concatenate(standardize(features))
    assert frames.mean(0) == pytest.approx(np.zeros(5), abs=1e-6)
    assert frames.std(0, ddof=1) == pytest.approx([1, 1, 0, 1, 1], abs=1e-6)
    assert [len(x) for x in standardize(features)] == [4, 9]


def test_scores_of_every_query_have_one_scale():
    generator = np.random.default_rng(0)
    queries = [generator.standard_normal((n, 6)) for n in (5, 4, 9)]
    documents = [generator.standard_normal((n, 6)) for n in (20, 30, 25, 40)]
    scores = detection_scores(queries, documents)
    assert scores[1].tolist() == [0.0] * 4  # four frames are too few
    assert scores.mean(1) == pytest.approx([0, 0, 0], abs=1e-9)
    assert scores.std(1) == pytest.approx([1, 0, 1])
    features = standardize([*queries, *documents])
    raw = np.array([match_score(features[0], document) for document in features[3:]])
    assert scores[0] == pytest.approx((raw - raw.mean()) / raw.std(), abs=1e-3)
    trials = np.array([[True, True, True, False], [True] * 4, [False] * 4])
    some = detection_scores(queries, documents, trials=trials)
    assert some[0] == pytest.approx([*(raw[:3] - raw[:3].mean()) / raw[:3].std(), 0], abs=1e-3)
    assert some[2].tolist() == [0.0] * 4
    # scale and offset of a dimension do not count
    moved = [[3 * x + np.arange(6) for x in found] for found in (queries, documents)]
    assert detection_scores(*moved) == pytest.approx(scores, abs=1e-3)


def test_takes_of_ones_own_speaker_are_no_candidates():
    scores = np.array([[0, 9, 2, 1], [9, 0, 1, 2], [2, 1, 0, 9], [1, 2, 9, 0.0]])
    speakers = list("sstt")
    found = rank_takes(scores, list("abab"), speakers)
    assert (found.mean_average_precision, found.precision_at_1) == (1.0, 1.0)
    assert found.chance == 0.5
    assert rank_takes(scores, list("abab")).precision_at_1 == 0.0
    with pytest.raises(ValueError, match="no word has two takes of two speakers"):
        rank_takes(scores, list("aabb"), speakers)


def test_a_query_inside_the_document_costs_nothing():
    generator = np.random.default_rng(0)
    document = generator.standard_normal((40, 8))
    assert match_score(document[11:20], document) == pytest.approx(0.0, abs=1e-12)
    faster = document[5:31:2]
    assert match_score(faster, document) == pytest.approx(0.0, abs=1e-12)
    assert match_score(generator.standard_normal((9, 8)), document) < -0.05


def test_rankings_are_scored_by_hand():
    features = [np.full((1, 1), float(i + 1)) for i in range(5)]
    # as a query, each take prefers the takes after it, in order, then those before
    order = {0: [1, 2, 3, 4], 1: [2, 3, 4, 0], 2: [3, 4, 0, 1], 3: [4, 0, 1, 2], 4: [0, 1, 2, 3]}

    def match(query, document):
        return -order[int(query.item()) - 1].index(int(document.item()) - 1)

    found = retrieve(features, ["a", "b", "a", "b", "a"], match)
    precisions = [(1 / 2 + 2 / 4) / 2, 1 / 2, (1 / 2 + 2 / 3) / 2, 1 / 3, (1 + 2 / 3) / 2]
    assert found.mean_average_precision == pytest.approx(np.mean(precisions))
    assert (found.precision_at_1, found.num_queries) == (pytest.approx(1 / 5), 5)


def test_words_are_found_where_features_tell_them_apart():
    generator = np.random.default_rng(1)
    words = {name: generator.standard_normal((12, 6)) for name in "abc"}
    labels = [name for name in words for _ in range(5)]

    def takes(noise):
        # every other frame twice: another speed
        return [
            np.repeat(words[name], generator.integers(1, 3, 12), axis=0)
            + noise * generator.standard_normal(6)
            for name in labels
        ]

    good, bad = retrieve(takes(0.05), labels), retrieve(
        [generator.standard_normal((15, 6)) for _ in labels], labels
    )
    assert good.mean_average_precision > 0.95 and good.precision_at_1 == 1.0
    assert good.chance == pytest.approx(4 / 14) and good.num_queries == 15
    assert bad.mean_average_precision < 0.6
    alone = retrieve(takes(0.05)[:6], ["a"] * 5 + ["b"])
    assert alone.num_queries == 5


def test_bad_input_is_refused():
    frames = np.ones((4, 3))
    with pytest.raises(ValueError, match=r"query has shape \(4,\)"):
        match_score(frames[:, 0], frames)
    with pytest.raises(ValueError, match=r"document has shape \(0, 3\)"):
        match_score(frames, frames[:0])
    with pytest.raises(ValueError, match="finite numbers"):
        match_score(frames, np.full((4, 3), np.nan))
    with pytest.raises(ValueError, match="3 and 2 dimensions"):
        match_score(frames, frames[:, :2])
    with pytest.raises(ValueError, match="got distance 'dot'; expected exp_cosine or cosine"):
        match_score(frames, frames, "dot")
    with pytest.raises(ValueError, match="got no document"):
        detection_scores([frames], [])
    with pytest.raises(ValueError, match="got 2 takes with 1 words"):
        retrieve([frames, frames], ["a"])
    with pytest.raises(ValueError, match="no word has two takes"):
        retrieve([frames, frames], ["a", "b"])


def test_lists_and_tensors_are_taken_and_what_tells_nothing_is_worst():
    rng = np.random.default_rng(0)
    query, document = rng.normal(size=(6, 4)), rng.normal(size=(20, 4))
    expected = match_score(query, document)
    assert -1 < expected < 0
    assert match_score(query.tolist(), document.tolist()) == expected
    assert match_score(torch.from_numpy(query), torch.from_numpy(document)) == expected
    for silent in (document[:1], np.zeros((9, 4)), np.ones((9, 4))):
        assert match_score(query, silent) == -1
    assert match_score(np.zeros((6, 4)), document) == -1
