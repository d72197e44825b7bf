"""Frames -> runs -> byte pairs -> one label per frame, compiled."""

from __future__ import annotations

import numba
import numpy as np

_EMPTY = -1
_HASH = 0x9E3779B97F4A7C15  # 2^64 / golden ratio


@numba.njit(cache=True)
def merge_runs(units: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Merge equal consecutive units (frames,) into values and run lengths, both (runs,)."""
    values = np.empty(len(units), np.int32)
    lengths = np.empty(len(units), np.int32)
    runs = 0
    for frame in range(len(units)):
        if runs > 0 and values[runs - 1] == units[frame]:
            lengths[runs - 1] += 1
        else:
            values[runs] = units[frame]
            lengths[runs] = 1
            runs += 1
    return values[:runs].copy(), lengths[:runs].copy()


@numba.njit(cache=True)
def build_table(merges: np.ndarray, num_symbols: int) -> tuple[np.ndarray, np.ndarray]:
    """Hash table pair -> merged symbol: keys and values, both (power of two,)."""
    size = 16
    while size < 4 * len(merges):
        size *= 2
    keys = np.full(size, _EMPTY, np.int64)
    values = np.full(size, _EMPTY, np.int32)
    for index in range(len(merges)):
        key = (np.int64(merges[index, 0]) << 32) | np.int64(merges[index, 1])
        slot = _slot(key, size)
        while keys[slot] != _EMPTY:
            slot = (slot + 1) & (size - 1)
        keys[slot] = key
        values[slot] = num_symbols + index
    return keys, values


@numba.njit(cache=True)
def encode_symbols(
    symbols: np.ndarray, num_symbols: int, merges: np.ndarray, keys: np.ndarray, values: np.ndarray
) -> np.ndarray:
    """Apply the merges in training order, in place; return the spans (tokens,).

    The pair with the earliest merge goes first, leftmost first. That is the same as all
    occurrences of merge 0, then of merge 1, ...: a merge only makes pairs of later merges.
    `symbols` (tokens,) holds -1 for what must not be merged, and where a token was taken in.
    """
    spans = np.ones(len(symbols), np.int32)
    heap = np.empty(3 * len(symbols) + 1, np.int64)
    size = 0
    for position in range(len(symbols) - 1):
        new = _find(symbols[position], symbols[position + 1], keys, values)
        size = _push(heap, size, new, position)
    while size > 0:
        new, position = heap[0] >> 32, heap[0] & 0xFFFFFFFF
        size = _pop(heap, size)
        left, right = merges[new - num_symbols]
        following = position + spans[position]
        if symbols[position] != left or following >= len(symbols) or symbols[following] != right:
            continue
        span = spans[position] + spans[following]
        symbols[position], symbols[following] = new, -1
        spans[position] = spans[position + span - 1] = span
        if position > 0:
            before = position - spans[position - 1]
            size = _push(heap, size, _find(symbols[before], new, keys, values), before)
        if position + span < len(symbols):
            following_new = _find(new, symbols[position + span], keys, values)
            size = _push(heap, size, following_new, position)
    return spans


@numba.njit(cache=True)
def label_frames(
    symbols: np.ndarray,
    lengths: np.ndarray,
    merges: np.ndarray,
    sizes: np.ndarray,
    labels: np.ndarray,
    num_frames: int,
) -> np.ndarray:
    """Spread labels over frames: (num_frames,) int64, -100 where there is no label.

    A piece without a label is taken apart into its left and right part until the parts have one.
    `lengths` (tokens,) are run lengths in frames; `sizes` and `labels` (pieces,) are the units in
    each piece, and its label or -100.
    """
    num_symbols = len(sizes) - len(merges)
    out = np.full(num_frames, -100, np.int64)
    stack = np.empty(len(symbols) + 1, np.int32)
    token = frame = 0
    while token < len(symbols):
        stack[0], depth = symbols[token], 1
        if symbols[token] < 0:  # unknown unit: no label
            depth, frame, token = 0, frame + lengths[token], token + 1
        while depth > 0:
            depth -= 1
            piece = stack[depth]
            if piece >= num_symbols and labels[piece] < 0:
                stack[depth] = merges[piece - num_symbols, 1]
                stack[depth + 1] = merges[piece - num_symbols, 0]
                depth += 2
                continue
            stop = token + sizes[piece]
            while token < stop:
                out[frame : frame + lengths[token]] = labels[piece]
                frame += lengths[token]
                token += 1
    return out


@numba.njit(cache=True)
def _slot(key, size):
    return np.int64((np.uint64(key) * np.uint64(_HASH)) >> np.uint64(32)) & (size - 1)


@numba.njit(cache=True)
def _find(left, right, keys, values):
    """Return the symbol that (left, right) merges into, -1 where there is none."""
    if left < 0 or right < 0:
        return -1
    key = (np.int64(left) << 32) | np.int64(right)
    slot = _slot(key, len(keys))
    while keys[slot] != _EMPTY and keys[slot] != key:
        slot = (slot + 1) & (len(keys) - 1)
    return values[slot]


@numba.njit(cache=True)
def _push(heap, size, new, position):
    if new < 0:
        return size
    item, slot = (np.int64(new) << 32) | np.int64(position), size
    while slot > 0 and item < heap[(slot - 1) // 2]:
        heap[slot] = heap[(slot - 1) // 2]
        slot = (slot - 1) // 2
    heap[slot] = item
    return size + 1


@numba.njit(cache=True)
def _pop(heap, size):
    size -= 1
    item, slot = heap[size], 0
    while 2 * slot + 1 < size:
        child = 2 * slot + 1
        if child + 1 < size and heap[child + 1] < heap[child]:
            child += 1
        if item <= heap[child]:
            break
        heap[slot] = heap[child]
        slot = child
    heap[slot] = item
    return size
