"""Uncertainty of an error rate, and of the difference of two on the same utterances."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from hf_rspin.evaluation.measures.error_rates import ErrorCounts

NUM_RESAMPLES = 2000


@dataclass(frozen=True)
class Interval:
    """A figure and its bootstrap interval (percentiles); nan where one unit cannot tell.

    `draws` are the figures of the resamples, (resamples,), `units` is the number of speakers or
    utterances drawn from, and `of` tells these from others, see `sample_key`: two encoders are
    compared draw by draw, see `evaluation.draws`.
    """

    value: float
    low: float
    high: float
    draws: np.ndarray | None = field(default=None, repr=False, compare=False)
    units: int = field(default=0, repr=False, compare=False)
    of: str = field(default="", repr=False, compare=False)


@dataclass(frozen=True)
class PairedDifference:
    """Rate of the second system minus rate of the first: negative means the second is better.

    `p_value` is two-sided: twice the share of resamples on the other side of zero, at most 1; of n
    speakers (or utterances) at least 2^(1-n), what a test of signs can reach: five are too few.
    """

    value: float
    low: float
    high: float
    p_value: float


def bootstrap_interval(
    counts: ErrorCounts,
    groups: Sequence | None = None,
    confidence: float = 0.95,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Resample utterances with replacement; the rate of each resample is corpus-level.

    Args:
        counts: errors and lengths, (utterances,) each.
        groups: resample whole groups instead (cluster bootstrap), e.g. speakers, whose utterances
            are not independent; one label per utterance. Wider, and honest about new speakers.
        confidence: share of the resamples inside the interval.
        num_resamples: number of resamples.
        seed: of the resamples.
    """

    def rate(errors: np.ndarray, lengths: np.ndarray, axis: int) -> np.ndarray:
        return errors.sum(axis) / lengths.sum(axis)

    columns = _grouped(groups, counts.errors, counts.lengths)
    low, high, found = _bootstrap(columns, rate, confidence, num_resamples, seed)
    if not len(found):
        return Interval(counts.rate, low, high)
    names = np.unique(np.asarray(groups)) if groups is not None else np.arange(len(columns[0]))
    drawn = names[_rated(columns)]
    return Interval(counts.rate, low, high, found, len(drawn), sample_key(drawn, seed))


def sample_key(names: Iterable, *more: object) -> str:
    """Return what tells draws from those of others: resamples of equal keys belong together.

    Args:
        names: of the speakers, or what else was drawn from, in their order.
        more: what else decides the draws, such as their seed.
    """
    return hashlib.sha256(repr(([str(name) for name in names], more)).encode()).hexdigest()[:16]


def paired_difference(
    first: ErrorCounts,
    second: ErrorCounts,
    groups: Sequence | None = None,
    confidence: float = 0.95,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> PairedDifference:
    """Compare two systems on the same utterances, resampled together (paired bootstrap).

    Args:
        first: the system that differences refer to.
        second: the other system.
        groups: see `bootstrap_interval`.
        confidence: see `bootstrap_interval`.
        num_resamples: see `bootstrap_interval`.
        seed: see `bootstrap_interval`.

    Raises:
        ValueError: the two were not scored against the same references.
    """
    if not np.array_equal(first.lengths, second.lengths):
        raise ValueError(
            "the two systems have different reference lengths; a paired comparison needs the same "
            "utterances in the same order: score both on one corpus."
        )

    def difference(one: np.ndarray, two: np.ndarray, lengths: np.ndarray, axis: int) -> np.ndarray:
        return (two.sum(axis) - one.sum(axis)) / lengths.sum(axis)

    columns = _grouped(groups, first.errors, second.errors, first.lengths)
    low, high, found = _bootstrap(columns, difference, confidence, num_resamples, seed)
    p_value = two_sided_p(found, len(columns[0]))
    return PairedDifference(second.rate - first.rate, low, high, p_value)


def two_sided_p(differences: np.ndarray, units: int) -> float:
    """Return twice the share of resampled differences on the other side of zero, see above.

    Args:
        differences: (resamples,); of none the value is 1.
        units: that were drawn from.
    """
    if not len(differences):
        return 1.0
    smaller = min((differences <= 0).mean(), (differences >= 0).mean())
    least = max(1 / len(differences), 2.0 ** (1 - units))  # as in a test of signs
    return float(max(min(1.0, 2 * smaller), least))


def _grouped(groups: Sequence | None, *columns: np.ndarray) -> list[np.ndarray]:
    """Return the columns (units,), summed within groups where given."""
    if groups is None:
        return [np.asarray(column, dtype=np.float64) for column in columns]
    if len(groups) != len(columns[0]):
        raise ValueError(f"got {len(groups)} group labels for {len(columns[0])} utterances.")
    _, members = np.unique(np.asarray(groups), return_inverse=True)
    return [np.bincount(members, column) for column in columns]


def _bootstrap(
    columns: Sequence[np.ndarray],
    statistic: Callable[..., np.ndarray],
    confidence: float,
    num_resamples: int,
    seed: int,
) -> tuple[float, float, np.ndarray]:
    """Return low, high and the statistic of each resample; nan and nothing for a single unit."""
    from scipy.stats import bootstrap

    rated = _rated(columns)
    columns = [column[rated] for column in columns]
    if len(columns[0]) < 2:
        return float("nan"), float("nan"), np.empty(0)
    found = bootstrap(
        columns, statistic, paired=True, vectorized=True, method="percentile",
        confidence_level=confidence, n_resamples=num_resamples, batch=100,
        rng=np.random.default_rng(seed),
    )  # fmt: skip
    interval = found.confidence_interval
    return float(interval.low), float(interval.high), found.bootstrap_distribution


def _rated(columns: Sequence[np.ndarray]) -> np.ndarray:
    """Say of each unit whether it has a reference token, and so a rate; lengths come last."""
    return np.asarray(columns[-1]) > 0  # a resample of units without a rate would have none either
