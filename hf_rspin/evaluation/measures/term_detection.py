"""How well one threshold tells documents that hold a term from others: term-weighted value."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class TermWeightedValue(NamedTuple):
    """The value at the best threshold.

    Attributes:
        value: 1 is perfect, 0 as good as finding nothing.
        threshold: scores of this or more are detections; infinite: nothing is detected.
    """

    value: float
    threshold: float


def maximum_term_weighted_value(
    scores: np.ndarray,
    relevant: np.ndarray,
    false_alarm_cost: float = 1.0,
    miss_cost: float = 100.0,
    prior: float = 0.0008,
    trials: np.ndarray | None = None,
) -> TermWeightedValue:
    """Return max over thresholds of 1 - mean over queries of (P_miss + beta P_fa).

    beta = (false_alarm_cost / miss_cost) (1 / prior - 1), 12.49 for the defaults, which are those
    of QUESST 2014 (Anguera et al. 2015). P_miss is the share of a query's relevant documents below
    the threshold, P_fa that of its other documents at or above it: 0 where there are none. Queries
    without a relevant document have no P_miss and are left out.

    Args:
        scores: (queries, documents); one threshold for all queries, so make them comparable, see
            `detection_scores`.
        relevant: (queries, documents), bool: whether the document holds what is sought.
        false_alarm_cost: C_fa.
        miss_cost: C_miss.
        prior: probability that a document is relevant, above 0 and at most 1.
        trials: (queries, documents), bool: pairs that count; default all.

    Raises:
        ValueError: the shapes differ, a score is NaN, or no query has a relevant document.

    Example:
        >>> scores = np.array([[3.0, 1.0, 0.0]])
        >>> maximum_term_weighted_value(scores, np.array([[True, True, False]]))
        TermWeightedValue(value=1.0, threshold=1.0)
    """
    scores, relevant = np.asarray(scores, dtype=np.float64), np.asarray(relevant, dtype=bool)
    trials = np.ones(scores.shape, bool) if trials is None else np.asarray(trials, dtype=bool)
    _check(scores, relevant, trials, prior)
    hits, alarms = relevant & trials, ~relevant & trials
    kept = hits.any(axis=1)
    beta = false_alarm_cost / miss_cost * (1 / prior - 1)
    num_hits, num_alarms = hits.sum(1, keepdims=True), alarms.sum(1, keepdims=True)
    # what detecting a document adds to the value of finding nothing
    gains = hits / np.maximum(num_hits, 1) - beta * alarms / np.maximum(num_alarms, 1)
    counted = trials & kept[:, None]
    order = np.argsort(-scores[counted], kind="stable")
    ordered = scores[counted][order]
    values = gains[counted][order].cumsum() / kept.sum()
    last = np.append(ordered[1:] != ordered[:-1], True)  # equal scores are detected together
    best = int(values[last].argmax())
    if values[last][best] <= 0:
        return TermWeightedValue(0.0, np.inf)
    return TermWeightedValue(float(values[last][best]), float(ordered[last][best]))


def _check(scores: np.ndarray, relevant: np.ndarray, trials: np.ndarray, prior: float) -> None:
    if scores.ndim != 2 or not scores.shape == relevant.shape == trials.shape:
        raise ValueError(
            f"got scores {scores.shape}, relevant {relevant.shape} and trials {trials.shape}; "
            "expected (queries, documents) of all."
        )
    if np.isnan(scores[trials]).any():
        raise ValueError("got a score that is NaN; expected numbers: check the features.")
    if not 0 < prior <= 1:
        raise ValueError(f"got prior {prior:g}; expected a probability above 0.")
    if not (relevant & trials).any():
        raise ValueError("no query has a relevant document: nothing can be found.")
