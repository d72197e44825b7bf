"""ABX discrimination: is X nearer to A, which is of its kind, than to B, which is not?

A, B and X are spoken tokens, (frames, dim) each. The distance of two frames is the angle between
them over pi; that of two tokens is the mean along the cheapest path of dynamic time warping, whose
steps advance one token, the other, or both. A triple is an error when B is nearer to X than A is,
and half of one when they are equally near (Schatz et al. 2013; ZeroSpeech).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numba
import numpy as np

from hf_rspin.evaluation.measures.abx_cells import AbxCell, tokens_of
from hf_rspin.evaluation.measures.bootstrap import Interval, sample_key

Tokens = Sequence[np.ndarray] | Mapping[int, np.ndarray]


def abx_error(tokens: Tokens, cells: Sequence[AbxCell]) -> float:
    """Return the error, 0 to 1; 0.5 is chance.

    The mean over pairs of the mean over `by` of the mean over contexts of the mean over the
    triples of a cell: every pair of phones counts alike, and in it every speaker (across speakers:
    every two speakers).

    Args:
        tokens: index -> (frames, dim), of any length above 0; read for those in cells only.
        cells: of `abx_cells`.

    Raises:
        ValueError: there is no cell, or a token of one has no frame.

    Example:
        >>> from hf_rspin.evaluation.measures.abx_cells import abx_cells
        >>> cells = abx_cells(["a", "a", "b"], ["s", "s", "s"])
        >>> abx_error([np.eye(2)[:1], np.eye(2)[:1], np.eye(2)[1:]], cells)
        0.0
    """
    if not cells:
        raise ValueError(
            "got no cell: no three tokens can be compared; give more speech, or take any context."
        )
    return average_cells(cells, cell_errors(tokens, cells))


def cell_errors(tokens: Tokens, cells: Sequence[AbxCell]) -> np.ndarray:
    """Return the share of wrong triples of each cell, (cells,).

    Raises:
        ValueError: a token of a cell has no frame, or is not (frames, dim).
    """
    used = tokens_of(cells)
    for index in used:
        if tokens[index].ndim != 2 or len(tokens[index]) == 0:
            raise ValueError(
                f"token {index} has shape {tokens[index].shape}; expected (frames, dim)."
            )
    frames = np.concatenate([tokens[i] for i in used]).astype(np.float32, copy=False)
    frames /= np.maximum(np.linalg.norm(frames, axis=1, keepdims=True), 1e-12)
    starts = np.concatenate([[0], np.cumsum([len(tokens[i]) for i in used])])
    # every two tokens are compared once, whatever cells they meet in
    place = np.zeros(used[-1] + 1, dtype=np.int64)
    place[used] = np.arange(len(used))
    blocks = [
        [_codes(place[one], place[cell.x], len(used)) for one in (cell.a, cell.b)]
        for cell in cells
    ]
    codes = np.unique(np.concatenate([block.ravel() for both in blocks for block in both]))
    distances = _distances(frames, starts, codes // len(used), codes % len(used))
    errors = np.empty(len(cells))
    for number, (cell, both) in enumerate(zip(cells, blocks, strict=True)):
        near, far = (distances[np.searchsorted(codes, block)] for block in both)
        wrong = (near[:, None] > far[None]) + 0.5 * (near[:, None] == far[None])  # (a, b, x)
        errors[number] = wrong.swapaxes(1, 2)[cell.a[:, None] != cell.x[None]].mean()
    return errors


def average_cells(cells: Sequence[AbxCell], errors: np.ndarray) -> float:
    """Return the mean over pairs of the mean over `by` of the mean over contexts."""
    _, pairs, means = _over_contexts(cells, errors)
    counts = np.bincount(pairs)
    return float((np.bincount(pairs, means) / counts).mean())


def abx_interval(
    cells: Sequence[AbxCell],
    errors: np.ndarray,
    speakers: Sequence[tuple[Hashable, ...]],
    num_resamples: int = 500,
    seed: int = 0,
) -> Interval:
    """Return `average_cells` with a 95 % bootstrap interval: speakers are drawn again.

    A cell counts as often as all its speakers together were drawn: the product of their counts.

    Args:
        cells: of `abx_cells`.
        errors: of `cell_errors`.
        speakers: those of each cell: one, or two different ones.
        num_resamples: number of draws.
        seed: of the draws.

    Returns:
        The error with the 2.5 and 97.5 % percentiles; these are nan for a single speaker.
    """
    places, pairs, means = _over_contexts(cells, errors)
    names = sorted({name for found in speakers for name in found})
    value = average_cells(cells, errors)
    if len(names) < 2:
        return Interval(value, float("nan"), float("nan"))
    if min(map(len, speakers)) == 2 and len(names) == 2:
        return Interval(value, float("nan"), float("nan"))  # a draw has both, or nothing
    index = {name: k for k, name in enumerate(names)}
    owners = np.array([[index[name] for name in speakers[place]] for place in places])
    of_pairs = set(speakers[places[0]]) == set(cells[places[0]].pair)  # pairs are drawn too
    generator, found = np.random.default_rng(seed), []
    for _ in range(num_resamples):
        drawn = np.bincount(generator.integers(len(names), size=len(names)), minlength=len(names))
        weights = drawn[owners].prod(axis=1)
        totals = np.bincount(pairs, weights)
        kept = totals > 0
        if not kept.any():
            found.append(np.nan)
            continue
        values = np.bincount(pairs, weights * means)[kept] / totals[kept]
        counts = totals[kept] / np.bincount(pairs)[kept] if of_pairs else None
        found.append(np.average(values, weights=counts))
    low, high = np.nanpercentile(found, [2.5, 97.5])
    of = sample_key(names, seed)
    return Interval(value, float(low), float(high), np.array(found), len(names), of)


def _over_contexts(
    cells: Sequence[AbxCell], errors: np.ndarray
) -> tuple[list[int], np.ndarray, np.ndarray]:
    """Average cells of one pair and `by`; return one place, the pair and the mean of each."""
    shares: dict[tuple, list[int]] = {}
    for place, cell in enumerate(cells):
        shares.setdefault((cell.pair, cell.by), []).append(place)
    numbers: dict[tuple, int] = {}
    pairs = [numbers.setdefault(pair, len(numbers)) for pair, _ in shares]
    means = [errors[found].mean() for found in shares.values()]
    return [found[0] for found in shares.values()], np.array(pairs), np.array(means)


def _codes(one: np.ndarray, other: np.ndarray, count: int) -> np.ndarray:
    """Return a number for every two tokens, whichever comes first, (one, other)."""
    low, high = np.minimum(one[:, None], other[None]), np.maximum(one[:, None], other[None])
    return low * count + high


# Sums in any order are several times faster; the order is the same for every two frames, so that
# equal frames keep equal distances.
@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def _product(one, other):
    total = np.float32(0.0)
    for i in range(len(one)):
        total += one[i] * other[i]
    return total


@numba.njit(cache=True, nogil=True)
def _distances(frames, starts, first, second):
    """Return the distance of tokens `first` and `second`, (pairs,)."""
    found = np.empty(len(first))
    for pair in range(len(first)):
        one = frames[starts[first[pair]] : starts[first[pair] + 1]]
        other = frames[starts[second[pair]] : starts[second[pair] + 1]]
        found[pair] = _warped(one, other)
    return found


@numba.njit(cache=True, nogil=True)
def _warped(one, other):
    """Return the mean cost along the cheapest path; of several, one that steps in both first."""
    columns = len(other)
    total, steps = np.empty(columns), np.empty(columns)
    for row in range(len(one)):
        corner, corner_steps = np.inf, 0.0  # of the row above, one column to the left
        for column in range(columns):
            cosine = min(1.0, max(-1.0, _product(one[row], other[column])))
            best, length = corner, corner_steps
            if row == 0 and column == 0:
                best, length = 0.0, 0.0
            if column > 0 and total[column - 1] < best:
                best, length = total[column - 1], steps[column - 1]
            if row > 0:
                corner, corner_steps = total[column], steps[column]
                if total[column] < best:
                    best, length = total[column], steps[column]
            total[column] = best + np.arccos(cosine) / np.pi
            steps[column] = length + 1
    return total[-1] / steps[-1]
