"""Byte-pair encoding over integer sequences, compiled: the counting behind acoustic pieces.

All sequences lie in one array, with a separator after each, and merges happen in place: a merged
token keeps its first position, and its span (in original tokens) stands at its first and at its
last position, so that both neighbours are one addition away.

A pair is born in one go: all its occurrences exist once the later of its two symbols exists, and
from then on they can only disappear. Its positions are therefore written once, its count is an
upper bound that is corrected when the pair reaches the top of the heap, and no hash table is
needed. Next pair: highest count, then smallest left symbol, then smallest right symbol.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numba
import numpy as np

SEPARATOR = -1


class _Tokens(NamedTuple):
    """The corpus, both of shape (tokens,): symbol or `SEPARATOR`, and span in original tokens."""

    symbols: np.ndarray
    spans: np.ndarray


class _Pairs(NamedTuple):
    """Known pairs, each of shape (capacity,): occurrences are pool[start:start + length]."""

    left: np.ndarray
    right: np.ndarray
    start: np.ndarray
    length: np.ndarray
    bound: np.ndarray  # at least the pair's count
    heap: np.ndarray  # pair numbers, the best first


def learn_merges(
    symbols: np.ndarray,
    num_symbols: int,
    num_merges: int,
    min_count: int = 2,
    on_merge: Callable[[], object] | None = None,
) -> np.ndarray:
    """Learn byte-pair merges, and apply them to `symbols` in place.

    Args:
        symbols: (tokens,) int32, sequences of 0..num_symbols-1, each followed by `SEPARATOR`.
            Afterwards it holds each encoded symbol at its first position, `SEPARATOR` elsewhere.
        num_symbols: base symbols; merge m makes symbol `num_symbols + m`.
        num_merges: merges to learn; fewer when no pair occurs `min_count` times any more.
        min_count: a pair must occur that often (without overlap, counted from the left).
        on_merge: called after every merge, for a progress bar.

    Returns:
        (merges, 2) int32, the left and right symbol of each merge.
    """
    learner = _Learner(symbols, num_symbols, num_symbols + num_merges, min_count)
    merges = np.empty((num_merges, 2), np.int32)
    for index in range(num_merges):
        pair = learner.merge_best(num_symbols + index)
        if pair is None:
            return merges[:index].copy()
        merges[index] = pair
        if on_merge is not None:
            on_merge()
    return merges


class _Learner:
    """Arrays of one training run, grown between the compiled steps."""

    def __init__(
        self, symbols: np.ndarray, num_symbols: int, vocab_size: int, min_count: int
    ) -> None:
        self.tokens = _Tokens(symbols, np.ones(len(symbols), np.int32))
        self.min_count = min_count
        self.vocab_size = vocab_size
        # A token starts one pair at first, and a merge, which removes a token, starts two at most.
        # Pages that are never written cost no memory.
        self.pool = np.empty(3 * len(symbols), np.int32)
        self.counters = np.zeros(3, np.int64)  # pairs, pool entries, heap entries
        self.scratch = np.zeros(vocab_size, np.int64)
        self.pairs = _Pairs(*(np.empty(1024, t) for t in (np.int32,) * 2 + (np.int64,) * 4))
        offsets, positions = _sort_by_symbol(symbols, num_symbols)
        for symbol in range(num_symbols):
            self._reserve(num_symbols)
            starts = positions[offsets[symbol] : offsets[symbol + 1]]
            _add_followers(
                symbol, starts, self.tokens, self.pairs, self.pool, self.counters,
                self.scratch, self.min_count,
            )  # fmt: skip

    def merge_best(self, new: int) -> tuple[int, int] | None:
        """Merge the most frequent pair into symbol `new`; None when no pair is frequent enough."""
        best = _best_pair(self.tokens, self.pairs, self.pool, self.counters, self.min_count)
        if best < 0:
            return None
        self._reserve(2 * min(int(self.pairs.bound[best]), self.vocab_size))
        starts = _merge_pair(best, new, self.tokens, self.pairs, self.pool)
        for add in (_add_predecessors, _add_followers):
            add(
                new, starts, self.tokens, self.pairs, self.pool, self.counters,
                self.scratch, self.min_count,
            )  # fmt: skip
        return int(self.pairs.left[best]), int(self.pairs.right[best])

    def _reserve(self, more: int) -> None:
        needed, capacity = int(self.counters[0]) + more, len(self.pairs.left)
        if needed > capacity:
            extra = max(needed, capacity * 3 // 2) - capacity
            self.pairs = _Pairs(*(np.append(a, np.empty(extra, a.dtype)) for a in self.pairs))


@numba.njit(cache=True)
def _sort_by_symbol(symbols, num_symbols):
    """Return offsets (num_symbols + 1,) into the positions of each symbol, ascending."""
    offsets = np.zeros(num_symbols + 1, np.int64)
    for symbol in symbols:
        if symbol >= 0:
            offsets[symbol + 1] += 1
    offsets = np.cumsum(offsets)
    cursor = offsets[:-1].copy()
    positions = np.empty(offsets[-1], np.int32)
    for position in range(len(symbols)):
        symbol = symbols[position]
        if symbol >= 0:
            positions[cursor[symbol]] = position
            cursor[symbol] += 1
    return offsets, positions


@numba.njit(cache=True)
def _merge_pair(pair, new, tokens, pairs, pool):
    """Replace every occurrence, from the left; return the first positions (count,) of `new`."""
    symbols, spans = tokens.symbols, tokens.spans
    merged = np.empty(pairs.length[pair], np.int32)
    count = 0
    for index in range(pairs.start[pair], pairs.start[pair] + pairs.length[pair]):
        position = pool[index]
        following = position + spans[position]
        if symbols[position] != pairs.left[pair] or symbols[following] != pairs.right[pair]:
            continue  # overlaps the occurrence before it
        span = spans[position] + spans[following]
        symbols[position], symbols[following] = new, SEPARATOR
        spans[position] = spans[position + span - 1] = span
        merged[count] = position
        count += 1
    return merged[:count]


@numba.njit(cache=True)
def _add_followers(symbol, starts, tokens, pairs, pool, counters, scratch, min_count):
    """Enter the pairs (symbol, other); `starts` are the positions of `symbol`, ascending."""
    others = np.empty(len(starts), np.int32)
    for index, position in enumerate(starts):
        others[index] = tokens.symbols[position + tokens.spans[position]]
    _add_pairs(symbol, True, others, starts, pairs, pool, counters, scratch, min_count)


@numba.njit(cache=True)
def _add_predecessors(symbol, starts, tokens, pairs, pool, counters, scratch, min_count):
    """Enter the pairs (other, symbol) except (symbol, symbol), which is among the followers."""
    others = np.empty(len(starts), np.int32)
    positions = np.empty(len(starts), np.int32)
    for index, position in enumerate(starts):
        before, other = position, SEPARATOR
        if position > 0:
            before = position - tokens.spans[position - 1]
            other = tokens.symbols[before]
        others[index] = other if other != symbol else SEPARATOR
        positions[index] = before
    _add_pairs(symbol, False, others, positions, pairs, pool, counters, scratch, min_count)


@numba.njit(cache=True)
def _add_pairs(symbol, first, others, positions, pairs, pool, counters, scratch, min_count):
    """Group occurrences by the other symbol; `scratch` (vocab_size,) is zero before and after."""
    for other in others:
        if other >= 0:
            scratch[other] += 1
    for index, other in enumerate(others):
        if other >= 0 and scratch[other] > 0:
            # From here on the scratch entry is minus (1 + pair number), or 0 for a rare pair.
            count, scratch[other] = scratch[other], 0
            if count >= min_count:
                pair = _new_pair(symbol, other, first, count, pairs, counters)
                scratch[other] = -1 - pair
                _push(pair, pairs, counters)
        if other >= 0 and scratch[other] < 0:
            pair = -1 - scratch[other]
            pool[pairs.start[pair] + pairs.length[pair]] = positions[index]
            pairs.length[pair] += 1
    for other in others:
        if other >= 0:
            scratch[other] = 0


@numba.njit(cache=True)
def _new_pair(symbol, other, first, count, pairs, counters):
    pair = counters[0]
    pairs.left[pair] = symbol if first else other
    pairs.right[pair] = other if first else symbol
    pairs.start[pair] = counters[1]
    pairs.length[pair] = 0
    pairs.bound[pair] = count
    counters[0] += 1
    counters[1] += count
    return pair


@numba.njit(cache=True)
def _best_pair(tokens, pairs, pool, counters, min_count):
    """Take the most frequent pair off the heap, its count exact; -1 when there is none."""
    while counters[2] > 0:
        pair = pairs.heap[0]
        count = _recount(pair, tokens, pairs, pool)
        exact = count == pairs.bound[pair]
        pairs.bound[pair] = count
        if exact or count < min_count:
            counters[2] -= 1
            pairs.heap[0] = pairs.heap[counters[2]]
        _sift_down(pairs, counters)
        if exact and count >= min_count:
            return pair
    return -1


@numba.njit(cache=True)
def _recount(pair, tokens, pairs, pool):
    """Drop occurrences that are gone; count the rest without overlap, from the left."""
    start, kept, count, taken = pairs.start[pair], 0, 0, -1
    left, right = pairs.left[pair], pairs.right[pair]
    for index in range(start, start + pairs.length[pair]):
        position = pool[index]
        if tokens.symbols[position] != left:
            continue
        following = position + tokens.spans[position]
        if tokens.symbols[following] != right:
            continue
        pool[start + kept] = position
        kept += 1
        if position != taken:
            count += 1
            taken = following
    pairs.length[pair] = kept
    return count


@numba.njit(cache=True)
def _before(pairs, first, second):
    if pairs.bound[first] != pairs.bound[second]:
        return pairs.bound[first] > pairs.bound[second]
    if pairs.left[first] != pairs.left[second]:
        return pairs.left[first] < pairs.left[second]
    return pairs.right[first] < pairs.right[second]


@numba.njit(cache=True)
def _push(pair, pairs, counters):
    heap, slot = pairs.heap, counters[2]
    counters[2] += 1
    while slot > 0 and _before(pairs, pair, heap[(slot - 1) // 2]):
        heap[slot] = heap[(slot - 1) // 2]
        slot = (slot - 1) // 2
    heap[slot] = pair


@numba.njit(cache=True)
def _sift_down(pairs, counters):
    """Restore the heap after its root has changed."""
    heap, size, slot = pairs.heap, counters[2], 0
    if size == 0:
        return
    pair = heap[0]
    while 2 * slot + 1 < size:
        child = 2 * slot + 1
        if child + 1 < size and _before(pairs, heap[child + 1], heap[child]):
            child += 1
        if not _before(pairs, heap[child], pair):
            break
        heap[slot] = heap[child]
        slot = child
    heap[slot] = pair
