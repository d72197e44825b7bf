import itertools

import numpy as np
import pytest

from hf_rspin.evaluation import match_score, retrieve


def by_enumeration(query, document):
    """Try every path: each step of the query advances 0, 1 or 2 frames of the document."""
    query, document = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (query, document))
    costs = np.exp(1 - query @ document.T) - 1
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
    with pytest.raises(ValueError, match="got 2 takes with 1 words"):
        retrieve([frames, frames], ["a"])
    with pytest.raises(ValueError, match="no word has two takes"):
        retrieve([frames, frames], ["a", "b"])
