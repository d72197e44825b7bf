"""Spoken words found by a spoken example: alignment costs of features, and ranked retrieval.

The matching is that of SUPERB's query-by-example task, so that scores can be compared: cosine
distances d become exp(d) - 1, each row (frame of the query) is scaled to 0 ... 1, and the query is
aligned with any part of the document, one step of the query for none, one or two of the document.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numba
import numpy as np

Match = Callable[[np.ndarray, np.ndarray], float]


class RetrievalScores(NamedTuple):
    """How well takes find takes of the same word, over all queries with another take.

    Attributes:
        mean_average_precision: 0 to 1.
        precision_at_1: share of queries whose best match is the same word.
        chance: mean share of the same word among the candidates.
        num_queries: takes that count.
    """

    mean_average_precision: float
    precision_at_1: float
    chance: float
    num_queries: int


def match_score(query: np.ndarray, document: np.ndarray) -> float:
    """Return how well a query occurs in a document: 0 is best, -1 worst.

    Args:
        query: (query_frames, dim), any floating type.
        document: (document_frames, dim), of any length.

    Raises:
        ValueError: a shape that does not fit, or NaN.
    """
    for name, value in (("query", query), ("document", document)):
        if value.ndim != 2 or 0 in value.shape or not np.isfinite(value).all():
            raise ValueError(
                f"the {name} has shape {value.shape}; expected (frames, dim) of finite numbers."
            )
    if query.shape[1] != document.shape[1]:
        raise ValueError(
            f"query and document have {query.shape[1]} and {document.shape[1]} dimensions; take "
            "both from one layer."
        )
    costs = np.exp(1.0 - _unit(query) @ _unit(document).T) - 1.0
    low, high = costs.min(axis=1, keepdims=True), costs.max(axis=1, keepdims=True)
    costs = (costs - low) / np.maximum(high - low, np.finfo(np.float64).tiny)
    return -float(_best_alignment(costs)) / len(query)


def retrieve(
    features: Sequence[np.ndarray], words: Sequence[str], match: Match = match_score
) -> RetrievalScores:
    """Rank all other takes by their match with each take, and score the ranking.

    Args:
        features: one (frames, dim) per take.
        words: what each take says.
        match: gives the score of a query and a document, greater is better.

    Raises:
        ValueError: not one word per take, or no word with two takes.
    """
    from sklearn.metrics import average_precision_score

    if len(features) != len(words):
        raise ValueError(f"got {len(features)} takes with {len(words)} words; expected as many.")
    labels = np.asarray(words)
    precisions, first, chance = [], [], []
    for index, query in enumerate(features):
        others = np.flatnonzero(np.arange(len(labels)) != index)
        relevant = labels[others] == labels[index]
        if not relevant.any():
            continue
        scores = np.array([match(query, features[other]) for other in others])
        precisions.append(average_precision_score(relevant, scores))
        first.append(bool(relevant[scores.argmax()]))
        chance.append(relevant.mean())
    if not precisions:
        raise ValueError("no word has two takes: nothing can be found.")
    means = (float(np.mean(values)) for values in (precisions, first, chance))
    return RetrievalScores(*means, num_queries=len(precisions))


def _unit(frames: np.ndarray) -> np.ndarray:
    frames = np.asarray(frames, dtype=np.float64)
    return frames / np.maximum(np.linalg.norm(frames, axis=1, keepdims=True), 1e-12)


@numba.njit(cache=True, nogil=True)
def _best_alignment(costs):
    """Return the least cost of a path through all rows that advances 0, 1 or 2 columns a row."""
    total = costs[0].copy()
    for row in range(1, len(costs)):
        for column in range(costs.shape[1] - 1, -1, -1):  # from the right: the left is still old
            best = total[column]
            if column >= 1:
                best = min(best, total[column - 1])
            if column >= 2:
                best = min(best, total[column - 2])
            total[column] = best + costs[row, column]
    return total.min()
