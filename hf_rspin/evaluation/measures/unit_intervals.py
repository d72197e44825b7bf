"""Uncertainty of what units know about phones: speakers resampled, not frames."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hf_rspin.evaluation.measures.bootstrap import Interval, sample_key
from hf_rspin.evaluation.measures.unit_quality import IGNORED

NUM_RESAMPLES, BATCH = 1000, 50


def unit_intervals(
    phones: Sequence[np.ndarray],
    units: Sequence[np.ndarray],
    groups: Sequence | None = None,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> dict[str, Interval]:
    """Return `pnmi`, `phone_purity` and `cluster_purity` with 95 % bootstrap intervals.

    Counts of phones and units are added up per group once, and whole groups are resampled. The
    estimates are biased upwards where frames are few, and resamples, which repeat groups, more so:
    an interval is that of their deviations from their own mean, around the estimate.

    Args:
        phones: phone of each frame, (frames,) per utterance; -1: not counted.
        units: unit of each frame, likewise.
        groups: speaker of each utterance; default: utterances are resampled.
        num_resamples: number of resamples.
        seed: of the resamples.

    Returns:
        The values and their intervals; the limits are nan for a single group.

    Raises:
        ValueError: no frame counts.

    Example:
        >>> phones = [np.array([0, 0, 1, 1]), np.array([1, 0])]
        >>> unit_intervals(phones, [5 + one for one in phones], ["a", "b"])["pnmi"].value
        1.0
    """
    counts, pairs, heard = _counts_of_groups(phones, units, groups)
    whole = np.asarray(counts.sum(axis=0)).reshape(1, -1)
    values = {name: float(measure(whole, *pairs)[0]) for name, measure in _MEASURES.items()}
    if counts.shape[0] < 2:
        return {name: Interval(one, float("nan"), float("nan")) for name, one in values.items()}
    generator = np.random.default_rng(seed)
    number, found = counts.shape[0], {name: [] for name in _MEASURES}
    for start in range(0, num_resamples, BATCH):
        size = min(BATCH, num_resamples - start)
        weights = generator.multinomial(number, np.full(number, 1 / number), size)
        drawn = (counts.T @ weights.T).T
        for name, measure in _MEASURES.items():
            found[name].append(measure(drawn, *pairs))
    # all grow where frames are few: only figures of as many frames are compared
    of = sample_key(heard, seed, int(whole.sum()))
    return {
        name: _around(value, np.concatenate(found[name]), number, of)
        for name, value in values.items()
    }


def _around(value: float, draws: np.ndarray, units: int, of: str) -> Interval:
    """Lay the deviations of draws from their mean around the value, within 0 and 1."""
    centred = value + draws - draws.mean()
    low, high = np.percentile(centred, (2.5, 97.5))
    return Interval(value, float(max(low, 0.0)), float(min(high, 1.0)), centred, units, of)


def _counts_of_groups(phones: Sequence, units: Sequence, groups: Sequence | None) -> tuple:
    """Return frames as a sparse matrix (groups, pairs), phone and unit of each pair, and groups.

    Pairs are in the order of their phones; groups without a frame that counts are gone.
    """
    from scipy.sparse import coo_matrix

    names = range(len(phones)) if groups is None else groups
    known, members = np.unique(np.asarray(names), return_inverse=True)
    owner = np.repeat(members, [len(row) for row in phones])
    phone, unit = np.concatenate(phones), np.concatenate(units)
    kept = (phone != IGNORED) & (unit != IGNORED)
    if not kept.any():
        raise ValueError("no frame has both a phone and a unit: there is nothing to count.")
    heard, rows = np.unique(owner[kept], return_inverse=True)
    pairs, places = np.unique(np.stack([phone[kept], unit[kept]]), axis=1, return_inverse=True)
    size = int(rows.max()) + 1, pairs.shape[1]
    counts = coo_matrix((np.ones(len(rows)), (rows, places.ravel())), shape=size).tocsr()
    return counts, tuple(pairs), known[heard]


def _over(counts: np.ndarray, labels: np.ndarray, how: np.ufunc) -> np.ndarray:
    """Join the pairs (resamples, pairs) of each label, (resamples, labels)."""
    order = np.argsort(labels, kind="stable")
    starts = np.flatnonzero(np.diff(labels[order], prepend=labels[order[0]] - 1))
    return how.reduceat(counts[:, order], starts, axis=1)


def _pnmi(counts: np.ndarray, phones: np.ndarray, units: np.ndarray) -> np.ndarray:
    """(resamples, pairs) of frames -> I(phone; unit) / H(phone), (resamples,)."""
    from scipy.stats import entropy

    of_phones = entropy(_over(counts, phones, np.add), axis=1)
    shared = of_phones + entropy(_over(counts, units, np.add), axis=1) - entropy(counts, axis=1)
    return np.divide(shared, of_phones, out=np.zeros_like(shared), where=of_phones > 0)


def _phone_purity(counts: np.ndarray, phones: np.ndarray, units: np.ndarray) -> np.ndarray:
    """(resamples, pairs) of frames -> share in the most frequent phone of their unit."""
    return _over(counts, units, np.maximum).sum(axis=1) / counts.sum(axis=1)


def _cluster_purity(counts: np.ndarray, phones: np.ndarray, units: np.ndarray) -> np.ndarray:
    """(resamples, pairs) of frames -> share in the most frequent unit of their phone."""
    return _over(counts, phones, np.maximum).sum(axis=1) / counts.sum(axis=1)


_MEASURES = {"pnmi": _pnmi, "phone_purity": _phone_purity, "cluster_purity": _cluster_purity}
