"""Spoken words found by a spoken example: alignment costs of features, and ranked retrieval.

The matching is that of SUPERB's query-by-example task, so that scores can be compared: cosine
distances d become exp(d) - 1, each row (frame of the query) is scaled to 0 ... 1, and the query is
aligned with any part of the document, one step of the query for none, one or two of the document.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numba
import numpy as np

Match = Callable[[np.ndarray, np.ndarray], float]
Distance = Literal["exp_cosine", "cosine"]

LEAST_QUERY_FRAMES = 5
LEAST_DEVIATION = 1e-9


class RetrievalScores(NamedTuple):
    """How well takes find takes of the same word, over all queries with another take.

    Attributes:
        mean_average_precision: 0 to 1.
        precision_at_1: share of queries whose best match is the same word.
        chance: mean share of the same word among the candidates.
        num_queries: takes that count.
        queries: their places among the takes, (queries,).
        average_precisions: of each, (queries,).
        first_is_right: of each, (queries,).
    """

    mean_average_precision: float
    precision_at_1: float
    chance: float
    num_queries: int
    queries: tuple[int, ...] = ()
    average_precisions: tuple[float, ...] = ()
    first_is_right: tuple[bool, ...] = ()


def match_score(
    query: np.ndarray, document: np.ndarray, distance: Distance = "exp_cosine"
) -> float:
    """Return how well a query occurs in a document: 0 is best, -1 worst.

    Args:
        query: (query_frames, dim), an array, tensor or list.
        document: (document_frames, dim), of any length.
        distance: of two frames at cosine distance d: exp(d) - 1, or d itself.

    Raises:
        ValueError: a shape that does not fit, NaN, or no such distance.
    """
    query, document = np.asarray(query), np.asarray(document)
    _check([query], [document], distance)
    return float(_match(_unit(query), _unit(document), [len(document)], distance)[0])


def match_scores(
    queries: Sequence[np.ndarray],
    documents: Sequence[np.ndarray],
    distance: Distance = "exp_cosine",
) -> np.ndarray:
    """Return `match_score` of every query with every document, (queries, documents) float64.

    Cosines are computed in single precision, of a query with all documents at once.

    Args:
        queries: (query_frames, dim) each.
        documents: (document_frames, dim) each; memory holds a copy of them.
        distance: see `match_score`.

    Raises:
        ValueError: see `match_score`.
    """
    queries, documents = ([np.asarray(one) for one in some] for some in (queries, documents))
    _check(queries, documents, distance)
    frames = _unit(np.concatenate(documents), np.float32)
    lengths = [len(document) for document in documents]
    scores = [_match(_unit(query, np.float32), frames, lengths, distance) for query in queries]
    return np.stack(scores)


def standardize(features: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Give every dimension mean 0 and variance 1 over all frames of all features.

    Args:
        features: (frames, dim) each, queries and documents together; two frames or more in all.

    Returns:
        As many arrays, float32. The deviation has ddof 1 and is at least 1e-9, as in SUPERB.
    """
    count = sum(len(x) for x in features)
    mean = sum(x.sum(axis=0, dtype=np.float64) for x in features) / count
    squares = sum(((x - mean) ** 2).sum(axis=0) for x in features)
    deviation = np.maximum(np.sqrt(squares / (count - 1)), LEAST_DEVIATION)
    return [((x - mean) / deviation).astype(np.float32) for x in features]


def detection_scores(
    queries: Sequence[np.ndarray],
    documents: Sequence[np.ndarray],
    distance: Distance = "exp_cosine",
    trials: np.ndarray | None = None,
) -> np.ndarray:
    """Return scores of queries in documents that one threshold can decide, as SUPERB has them.

    Features are standardised over all queries and documents, and matched; then the scores of each
    query are standardised (ddof 0). A query of fewer than five frames has score 0 everywhere.

    Args:
        queries: (query_frames, dim) each.
        documents: (document_frames, dim) each.
        distance: see `match_score`.
        trials: (queries, documents), bool: which documents each query is sought in, the others do
            not count and have score 0; default all.

    Returns:
        (queries, documents) float64, for `maximum_term_weighted_value`.

    Raises:
        ValueError: see `match_score`.
    """
    queries, documents = ([np.asarray(one) for one in some] for some in (queries, documents))
    _check(queries, documents, distance)
    features = standardize([*queries, *documents])
    found = match_scores(features[: len(queries)], features[len(queries) :], distance)
    trials = np.ones(found.shape, bool) if trials is None else trials
    scores = np.zeros(found.shape)
    for row, (query, tried) in enumerate(zip(queries, trials, strict=True)):
        if len(query) >= LEAST_QUERY_FRAMES and tried.any():
            values = found[row, tried]
            scores[row, tried] = (values - values.mean()) / max(values.std(), LEAST_DEVIATION)
    return scores


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
    if len(features) != len(words):
        raise ValueError(f"got {len(features)} takes with {len(words)} words; expected as many.")
    scores = np.array([
        [match(query, other) if row != column else 0.0 for column, other in enumerate(features)]
        for row, query in enumerate(features)
    ])  # fmt: skip
    return rank_takes(scores, words)


def rank_takes(
    scores: np.ndarray, words: Sequence[str], speakers: Sequence[str] | None = None
) -> RetrievalScores:
    """Score the ranking of all other takes by their match with each take.

    Args:
        scores: (takes, takes), a query a row, greater is better; the diagonal is not read.
        words: what each take says.
        speakers: of each take: only takes of other speakers are candidates; default all others.

    Raises:
        ValueError: no word has two takes (of two speakers).
    """
    from sklearn.metrics import average_precision_score

    labels = np.asarray(words)
    owners = np.arange(len(labels)) if speakers is None else np.asarray(speakers)
    queries, precisions, first, chance = [], [], [], []
    for index, row in enumerate(scores):
        others = np.flatnonzero(owners != owners[index])
        relevant = labels[others] == labels[index]
        if not relevant.any():
            continue
        queries.append(index)
        precisions.append(average_precision_score(relevant, row[others]))
        first.append(bool(relevant[row[others].argmax()]))
        chance.append(relevant.mean())
    if not precisions:
        of = "" if speakers is None else " of two speakers"
        raise ValueError(f"no word has two takes{of}: nothing can be found.")
    means = (float(np.mean(values)) for values in (precisions, first, chance))
    return RetrievalScores(
        *means, len(precisions), tuple(queries), tuple(map(float, precisions)), tuple(first)
    )


def _check(
    queries: Sequence[np.ndarray], documents: Sequence[np.ndarray], distance: str
) -> None:
    """Refuse shapes that do not fit, numbers that are none, and unknown distances."""
    if distance not in ("exp_cosine", "cosine"):
        raise ValueError(f"got distance {distance!r}; expected exp_cosine or cosine.")
    for name, values in (("query", queries), ("document", documents)):
        if not values:
            raise ValueError(f"got no {name}; expected one or more.")
        for value in values:
            if value.ndim != 2 or 0 in value.shape or not np.isfinite(value).all():
                raise ValueError(
                    f"the {name} has shape {value.shape}; expected (frames, dim) of finite numbers."
                )
    dims = [sorted({value.shape[1] for value in values}) for values in (queries, documents)]
    if dims[0] != dims[1] or len(dims[0]) > 1:
        one, two = (", ".join(map(str, found)) for found in dims)
        raise ValueError(
            f"query and document have {one} and {two} dimensions; take both from one layer."
        )


def _unit(frames: np.ndarray, dtype: type = np.float64) -> np.ndarray:
    frames = np.asarray(frames, dtype=dtype)
    return frames / np.maximum(np.linalg.norm(frames, axis=1, keepdims=True), 1e-12)


def _match(
    query: np.ndarray, frames: np.ndarray, lengths: Sequence[int], distance: str
) -> np.ndarray:
    """Score a query (query_frames, dim) in documents laid end to end, rows of length 1."""
    costs = 1.0 - query @ frames.T
    if distance == "exp_cosine":
        np.expm1(costs, out=costs)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    return -_best_alignments(costs, starts) / len(query)


@numba.njit(cache=True, nogil=True)
def _best_alignments(costs, starts):
    """Return the least cost of each document, whose columns lie between two of the starts.

    A path goes through all rows, scaled to 0 ... 1, and advances 0, 1 or 2 columns a row. A
    document of one frame, or all of whose frames are as far from the query, has the worst cost.
    """
    found = np.empty(len(starts) - 1)
    for document in range(len(found)):
        block = costs[:, starts[document] : starts[document + 1]]
        columns = block.shape[1]
        total = np.zeros(columns)
        varies = False
        for row in range(len(block)):
            low, high = block[row].min(), block[row].max()
            scale = 1.0 / (high - low) if high > low else 0.0
            varies |= high > low
            for column in range(columns - 1, -1, -1):  # from the right: the left is still old
                best = total[column]
                if row > 0 and column >= 1:
                    best = min(best, total[column - 1])
                if row > 0 and column >= 2:
                    best = min(best, total[column - 2])
                total[column] = best + (block[row, column] - low) * scale
        found[document] = total.min() if varies else len(block)
    return found
