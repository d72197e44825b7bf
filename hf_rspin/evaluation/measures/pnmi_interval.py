"""Uncertainty of phone-normalised mutual information: speakers resampled, not frames."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hf_rspin.evaluation.measures.bootstrap import Interval
from hf_rspin.evaluation.measures.unit_quality import IGNORED

NUM_RESAMPLES, BATCH = 1000, 50


def pnmi_interval(
    phones: Sequence[np.ndarray],
    units: Sequence[np.ndarray],
    groups: Sequence | None = None,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Return PNMI (see `unit_quality`) with a 95 % bootstrap interval.

    Counts of phones and units are added up per group once, and whole groups are resampled. The
    estimate is biased upwards where frames are few, and resamples, which repeat groups, more so:
    the interval is that of their deviations from their own mean, around the estimate.

    Args:
        phones: phone of each frame, (frames,) per utterance; -1: not counted.
        units: unit of each frame, likewise.
        groups: speaker of each utterance; default: utterances are resampled.
        num_resamples: number of resamples.
        seed: of the resamples.

    Returns:
        The value and its interval; the limits are nan for a single group.

    Raises:
        ValueError: no frame counts.

    Example:
        >>> phones = [np.array([0, 0, 1, 1]), np.array([1, 0])]
        >>> pnmi_interval(phones, [5 + one for one in phones], ["a", "b"]).value
        1.0
    """
    counts, shape = _counts_of_groups(phones, units, groups)
    value = float(_pnmi(np.asarray(counts.sum(axis=0)).reshape(1, *shape))[0])
    if counts.shape[0] < 2:
        return Interval(value, float("nan"), float("nan"))
    generator = np.random.default_rng(seed)
    number, found = counts.shape[0], []
    for start in range(0, num_resamples, BATCH):
        size = min(BATCH, num_resamples - start)
        weights = generator.multinomial(number, np.full(number, 1 / number), size)
        found.append(_pnmi((counts.T @ weights.T).T.reshape(size, *shape)))
    deviations = np.concatenate(found) - np.concatenate(found).mean()
    low, high = value + np.percentile(deviations, (2.5, 97.5))
    return Interval(value, float(max(low, 0.0)), float(min(high, 1.0)))


def _counts_of_groups(phones: Sequence, units: Sequence, groups: Sequence | None) -> tuple:
    """Return a sparse matrix (groups, phones * units) of frames, and (phones, units)."""
    from scipy.sparse import coo_matrix

    names = range(len(phones)) if groups is None else groups
    members = np.unique(np.asarray(names), return_inverse=True)[1]
    owner = np.repeat(members, [len(row) for row in phones])
    phone, unit = np.concatenate(phones), np.concatenate(units)
    kept = (phone != IGNORED) & (unit != IGNORED)
    if not kept.any():
        raise ValueError("no frame has both a phone and a unit: there is nothing to count.")
    rows = np.unique(owner[kept], return_inverse=True)[1]  # who has no frame that counts: gone
    phone = np.unique(phone[kept], return_inverse=True)[1]
    unit = np.unique(unit[kept], return_inverse=True)[1]
    shape = int(phone.max()) + 1, int(unit.max()) + 1
    places = (rows, phone * shape[1] + unit)
    size = int(rows.max()) + 1, shape[0] * shape[1]
    return coo_matrix((np.ones(len(rows)), places), shape=size).tocsr(), shape


def _pnmi(counts: np.ndarray) -> np.ndarray:
    """(resamples, phones, units) of frames -> I(phone; unit) / H(phone), (resamples,)."""
    of_phones = _entropy(counts.sum(axis=2))
    shared = of_phones + _entropy(counts.sum(axis=1)) - _entropy(counts.reshape(len(counts), -1))
    return np.divide(shared, of_phones, out=np.zeros_like(shared), where=of_phones > 0)


def _entropy(counts: np.ndarray) -> np.ndarray:
    """(resamples, classes) -> entropy in nats, (resamples,)."""
    from scipy.stats import entropy

    return entropy(counts, axis=1)
