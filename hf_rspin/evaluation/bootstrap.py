"""Uncertainty of an error rate, and of the difference of two on the same utterances."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from hf_rspin.evaluation.metrics import ErrorCounts

_CHUNK = 200


@dataclass(frozen=True)
class Interval:
    """A rate and its bootstrap interval (percentiles)."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class PairedDifference:
    """Rate of the second system minus rate of the first: negative means the second is better.

    `p_value` is two-sided: twice the share of resamples on the other side of zero, at most 1.
    """

    value: float
    low: float
    high: float
    p_value: float


def bootstrap_interval(
    counts: ErrorCounts,
    groups: Sequence | None = None,
    confidence: float = 0.95,
    num_resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Resample utterances with replacement; the rate of each resample is corpus-level.

    Args:
        groups: resample whole groups instead, e.g. speakers, whose utterances are not
            independent; one label per utterance. Wider, and honest about new speakers.
    """
    sums = _resampled_sums(_stack(groups, counts.errors, counts.lengths), num_resamples, seed)
    return Interval(counts.rate, *_percentiles(sums[:, 0] / sums[:, 1], confidence))


def paired_difference(
    first: ErrorCounts,
    second: ErrorCounts,
    groups: Sequence | None = None,
    confidence: float = 0.95,
    num_resamples: int = 2000,
    seed: int = 0,
) -> PairedDifference:
    """Compare two systems on the same utterances, resampled together (paired bootstrap).

    Raises:
        ValueError: the two were not scored against the same references.
    """
    if not np.array_equal(first.lengths, second.lengths):
        raise ValueError(
            "the two systems have different reference lengths; a paired comparison needs the same "
            "utterances in the same order: score both on one corpus."
        )
    columns = _stack(groups, first.errors, second.errors, first.lengths)
    sums = _resampled_sums(columns, num_resamples, seed)
    differences = (sums[:, 1] - sums[:, 0]) / sums[:, 2]
    below, above = (differences <= 0).mean(), (differences >= 0).mean()
    return PairedDifference(
        second.rate - first.rate,
        *_percentiles(differences, confidence),
        p_value=float(max(min(1.0, 2 * min(below, above)), 1 / num_resamples)),
    )


def _stack(groups: Sequence | None, *columns: np.ndarray) -> np.ndarray:
    """Return the columns side by side, (units, columns), summed within groups where given."""
    table = np.stack(columns, axis=1).astype(np.float64)
    if groups is None:
        return table
    if len(groups) != len(table):
        raise ValueError(f"{len(groups)} group labels came for {len(table)} utterances.")
    _, members = np.unique(np.asarray(groups), return_inverse=True)
    return np.stack([np.bincount(members, column) for column in table.T], axis=1)


def _resampled_sums(table: np.ndarray, num_resamples: int, seed: int) -> np.ndarray:
    """Column sums of each resample, (resamples, columns)."""
    return np.concatenate(
        [counts @ table for counts in _multiplicities(len(table), num_resamples, seed)]
    )


def _multiplicities(size: int, num_resamples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each of `size` units is drawn, in chunks (resamples, size) of bounded memory."""
    rng = np.random.default_rng(seed)
    for start in range(0, num_resamples, _CHUNK):
        rows = min(_CHUNK, num_resamples - start)
        yield rng.multinomial(size, np.full(size, 1 / size), size=rows).astype(np.float64)


def _percentiles(values: np.ndarray, confidence: float) -> tuple[float, float]:
    tail = 100 * (1 - confidence) / 2
    low, high = np.percentile(values, [tail, 100 - tail])
    return float(low), float(high)
