"""Utterances in the order of what they add: unseen n-grams of units per second of audio.

Coverage is a submodular function, what an utterance adds only falls as others are taken: a value
computed earlier is an upper bound, and the best of a heap that keeps its place after it was
computed anew is the best of all (lazy greedy; Minoux 1978, Leskovec et al. 2007, CELF).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas

ORDERS = (1, 2, 3)


@dataclass(frozen=True)
class NgramSets:
    """The distinct n-grams of every utterance, numbered over all orders n.

    Attributes:
        numbers: (total,) of all utterances, one after the other.
        offsets: (utterances + 1,) where each utterance starts, and the end.
        count: how many distinct n-grams there are.
    """

    numbers: np.ndarray
    offsets: np.ndarray
    count: int

    def __getitem__(self, row: int) -> np.ndarray:
        """Return the n-grams (distinct,) int64 of one utterance."""
        return self.numbers[self.offsets[row] : self.offsets[row + 1]]


def ngram_sets(sequences: Iterable[np.ndarray], orders: tuple[int, ...] = ORDERS) -> NgramSets:
    """Return the n-grams of frame labels, each run of equal labels taken as one unit.

    Args:
        sequences: labels (frames,) of each utterance, 0 and above; n-grams do not reach over
            negative ones.
        orders: n of the n-grams, up to 3: their codes are integers below labels ** n.

    Example:
        >>> ngram_sets([np.array([5, 5, 7, 7, 5])], orders=(1, 2)).count  # 5, 7, 5 7, 7 5
        4
    """
    runs = [_runs(np.asarray(labels, dtype=np.int64)) for labels in sequences]
    sizes = np.array([len(run) for run in runs], dtype=np.int64)
    units = np.concatenate([np.zeros(0, np.int64), *runs])
    owners = np.repeat(np.arange(len(runs)), sizes)
    pairs, count = [], 0
    for order in orders:
        rows, numbers, found = _numbered(units, owners, order)
        pairs.append((rows, numbers + count))
        count += found
    keys = np.concatenate([rows * max(count, 1) + numbers for rows, numbers in pairs])
    keys.sort()
    rows, numbers = np.divmod(keys[np.diff(keys, prepend=-1) > 0], max(count, 1))
    offsets = np.searchsorted(rows, np.arange(len(runs) + 1))
    return NgramSets(numbers, offsets, count)


def coverage_order(sets: NgramSets, seconds: np.ndarray, ranks: np.ndarray) -> Iterator[int]:
    """Yield rows, next the one that adds most unseen n-grams per second of audio.

    When the rows that are left have no unseen one, everything counts as unseen again: a new round
    covers it once more. Rows without any n-gram come last.

    Args:
        sets: of the utterances.
        seconds: (utterances,) their durations.
        ranks: (utterances,) decides between equals, the lowest first.
    """
    seconds = [float(value) for value in seconds]
    full = [size / own for size, own in zip(np.diff(sets.offsets).tolist(), seconds, strict=True)]
    order = [int(rank) for rank in ranks]
    state, version = _Coverage(sets), [0] * len(full)  # of the bound that counts, others are stale
    heap = [(-gain, order[row], row, 0) for row, gain in enumerate(full) if gain > 0]
    heapq.heapify(heap)
    lowered: set[int] = set()  # in this round
    for _ in range(len(heap)):
        if state.num_unseen == 0:
            state.begin_round()
            for row in lowered - state.taken:
                version[row] += 1
                heapq.heappush(heap, (-full[row], order[row], row, version[row]))
            lowered.clear()
        while True:
            _, rank, row, made = heapq.heappop(heap)
            if made != version[row] or row in state.taken:
                continue
            gain = -(state.num_unseen_of(row) / seconds[row])
            if not heap or (gain, rank) <= heap[0][:2]:
                break
            version[row] += 1
            lowered.add(row)
            heapq.heappush(heap, (gain, rank, row, version[row]))
        state.take(row)
        yield row
    yield from sorted((row for row, gain in enumerate(full) if gain == 0), key=order.__getitem__)


class _Coverage:
    """Which n-grams of the rows that are left were seen in this round."""

    def __init__(self, sets: NgramSets):
        self.sets = sets
        self.seen = np.zeros(sets.count, dtype=bool)
        self.holders = np.bincount(sets.numbers, minlength=sets.count)  # rows left that have it
        self.taken: set[int] = set()
        self.num_unseen = sets.count  # of those that rows left have

    def num_unseen_of(self, row: int) -> int:
        own = self.sets[row]
        return len(own) - int(np.count_nonzero(self.seen[own]))

    def take(self, row: int) -> None:
        own = self.sets[row]
        self.num_unseen -= self.num_unseen_of(row)
        self.seen[own] = True
        self.holders[own] -= 1
        self.taken.add(row)

    def begin_round(self) -> None:
        self.seen[:] = False
        self.num_unseen = int(np.count_nonzero(self.holders))


def _runs(labels: np.ndarray) -> np.ndarray:
    """Return labels (frames,) without repetitions."""
    return labels[np.flatnonzero(np.diff(labels, prepend=np.int64(-(2**62))))]


def _numbered(
    units: np.ndarray, owners: np.ndarray, order: int
) -> tuple[np.ndarray, np.ndarray, int]:
    """Return owner and number of every n-gram of one order, and how many distinct there are."""
    length = max(len(units) - order + 1, 0)
    base = int(units.max(initial=0)) + 1
    codes, valid = np.zeros(length, np.int64), owners[order - 1 :] == owners[:length]
    for place in range(order):
        part = units[place : place + length]
        valid &= part >= 0
        codes = codes * base + part
    numbers, distinct = pandas.factorize(codes[valid])  # by hashing: 30 times as fast as sorting
    return owners[:length][valid], numbers, len(distinct)
