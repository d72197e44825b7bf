"""Pearson's correlation over the frames of many utterances: speakers resampled, not frames."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hf_rspin.evaluation.measures.bootstrap import Interval, sample_key

NUM_RESAMPLES = 1000


def correlation_interval(
    truth: Sequence[np.ndarray],
    found: Sequence[np.ndarray],
    groups: Sequence | None = None,
    within: bool = False,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Return Pearson's correlation of all frames with a 95 % bootstrap interval.

    Args:
        truth: values, (frames,) per utterance; an utterance may have none.
        found: what was predicted, likewise.
        groups: speaker of each utterance; default: utterances are resampled.
        within: the mean of each utterance is taken away from both before.
        num_resamples: number of resamples.
        seed: of the resamples.

    Returns:
        The value, 0 where truth or prediction is constant, nan where there are no frames, and its
        interval; the limits are nan for a single group.

    Example:
        >>> f0 = [np.array([100.0, 110.0, 120.0]), np.array([200.0, 190.0, 210.0])]
        >>> round(correlation_interval(f0, [2 * one for one in f0], ["a", "b"]).value, 6)
        1.0
    """
    sums = np.array([_sums(*pair, within) for pair in zip(truth, found, strict=True)])
    names = range(len(sums)) if groups is None else groups
    known, members = np.unique(np.asarray(names), return_inverse=True)
    grouped = np.stack([np.bincount(members, column) for column in sums.T], axis=1)
    known, grouped = known[grouped[:, 0] > 0], grouped[grouped[:, 0] > 0]
    if len(grouped) == 0:
        return Interval(float("nan"), float("nan"), float("nan"))
    value = float(_correlation(grouped.sum(axis=0, keepdims=True))[0])
    if len(grouped) < 2:
        return Interval(value, float("nan"), float("nan"))
    number, generator = len(grouped), np.random.default_rng(seed)
    weights = generator.multinomial(number, np.full(number, 1 / number), num_resamples)
    draws = _correlation(weights @ grouped)
    low, high = np.percentile(draws, (2.5, 97.5))
    return Interval(value, float(low), float(high), draws, number, sample_key(known, seed))


def _sums(truth: np.ndarray, found: np.ndarray, within: bool) -> tuple[float, ...]:
    """Return count, sums, sums of squares and of products of one utterance."""
    x, y = np.asarray(truth, dtype=np.float64), np.asarray(found, dtype=np.float64)
    if within and len(x):
        x, y = _centred(x), _centred(y)
    return len(x), x.sum(), y.sum(), (x * x).sum(), (y * y).sum(), (x * y).sum()


def _centred(values: np.ndarray) -> np.ndarray:
    """Take away the mean; of equal values nothing is left, not even rounding."""
    left = values - values.mean()
    return np.where(np.abs(left) > 1e-9 * np.abs(values).max(), left, 0.0)


def _correlation(sums: np.ndarray) -> np.ndarray:
    """(resamples, 6) of `_sums` added up -> (resamples,)."""
    n, x, y, xx, yy, xy = sums.T
    spread_x, spread_y = xx - x * x / n, yy - y * y / n
    # of a constant nothing is left but rounding
    varies = (spread_x > 1e-9 * np.abs(xx)) & (spread_y > 1e-9 * np.abs(yy))
    scale = np.sqrt(np.where(varies, spread_x * spread_y, 1.0))
    return np.where(varies, (xy - x * y / n) / scale, 0.0)
