"""Soft-DTW alignments on a CPU: compiled sweeps whose inner loops are vector instructions.

The matrix of one pair is cut into strips of `LANES` rows. Within a strip, step k handles the cells
(row, column) with row + column = k, which do not depend on each other: lane l holds column k - l.
The forward sweep stores the probabilities of the three transitions into each cell, so that the
backward sweep needs three products per cell, neither exponential nor branch, and loses no digits:
differences of path costs are taken in float64 and only then rounded.

Source: Cuturi and Blondel, "Soft-DTW" (arXiv 1703.01541), algorithms 1 and 2.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

try:
    from numba import njit, types
    from numba.extending import overload
except ImportError as error:
    raise ImportError(
        "numba is not installed; soft-DTW then runs on PyTorch alone. `pip install numba`."
    ) from error

# rows of a strip: enough independent cells to keep the vector units busy between two steps
LANES = 64
# E of a strip has columns to the right of the last lane, which stay zero
PADDED_LANES = LANES + 16
# cost of a cell that no path reaches; far from overflow when costs are added to it
UNREACHABLE = 1e300

# `contract` allows fused multiply-add; nothing here relies on NaN or infinity being absent
OPTIONS = {"fastmath": {"contract", "nsz"}, "error_model": "numpy"}
COMPILED = {"nogil": True, "cache": True, **OPTIONS}
SQRT3 = math.sqrt(3)
HALF_LOG3 = math.log(3) / 2
LOG2_E = 1 / math.log(2)


def _exp_of_negative(x):
    """exp(x) for x <= 0; exactly 0 where it is below the range of normal numbers."""


def _log_of_sum(s):
    """log(s) for 1 <= s <= 3."""


@overload(_exp_of_negative, jit_options=OPTIONS)
def _exp_for_type(x):
    """x = n log 2 + r with |r| < 0.35: 2^n by its bits, exp(r) by the Taylor series."""
    return _exp_float32 if x == types.float32 else _exp_float64


def _exp_float32(x):
    clamped = x if x > np.float32(-80) else np.float32(-80)
    # adding and taking away 1.5 * 2^23 rounds to the nearest integer
    magic = np.float32(12582912)
    n = (clamped * np.float32(LOG2_E) + magic) - magic
    # log 2 in two parts, the first with few bits: n times it is exact
    r = clamped - n * np.float32(0.693359375) + n * np.float32(2.12194440e-4)
    p = np.float32(1 / 5040) * r + np.float32(1 / 720)
    p = p * r + np.float32(1 / 120)
    p = p * r + np.float32(1 / 24)
    p = p * r + np.float32(1 / 6)
    p = p * r + np.float32(0.5)
    p = p * r + np.float32(1)
    p = p * r + np.float32(1)
    bits = (np.int32(n) + np.int32(127)) << np.int32(23)
    return p * np.int32(bits).view(np.float32) if x > np.float32(-80) else np.float32(0)


def _exp_float64(x):
    clamped = x if x > -700.0 else -700.0
    n = (clamped * LOG2_E + 6755399441055744.0) - 6755399441055744.0
    r = clamped - n * 0.693147180369123816490 - n * 1.90821492927058770002e-10
    p = r / 6227020800.0 + 1 / 479001600
    p = p * r + 1 / 39916800
    p = p * r + 1 / 3628800
    p = p * r + 1 / 362880
    p = p * r + 1 / 40320
    p = p * r + 1 / 5040
    p = p * r + 1 / 720
    p = p * r + 1 / 120
    p = p * r + 1 / 24
    p = p * r + 1 / 6
    p = p * r + 0.5
    p = p * r + 1.0
    p = p * r + 1.0
    bits = (np.int64(n) + np.int64(1023)) << np.int64(52)
    return p * np.int64(bits).view(np.float64) if x > -700.0 else 0.0


@overload(_log_of_sum, jit_options=OPTIONS)
def _log_for_type(s):
    """log s = log(3) / 2 + 2 artanh(t), t = (s - sqrt 3) / (s + sqrt 3), |t| < 0.27."""
    return _log_float32 if s == types.float32 else _log_float64


def _log_float32(s):
    t = (s - np.float32(SQRT3)) / (s + np.float32(SQRT3))
    u = t * t
    p = np.float32(2 / 11) * u + np.float32(2 / 9)
    p = p * u + np.float32(2 / 7)
    p = p * u + np.float32(2 / 5)
    p = p * u + np.float32(2 / 3)
    p = p * u + np.float32(2)
    return p * t + np.float32(HALF_LOG3)


def _log_float64(s):
    return math.log(s)


@njit(**COMPILED)
def _step(up, left, diagonal, products, x_norms, y_norms, scratch, gamma, costs, probabilities):
    """Compute one anti-diagonal of a strip: path costs, and the probabilities of the transitions.

    Costs and norms are float64, the rest float32 or float64. With a <= b <= c the predecessors'
    costs, the weights are 1, exp((a - b) / gamma), exp((a - c) / gamma): two exponentials, not
    three. Separate loops, because a loop is vectorised for its widest type.
    """
    number = probabilities.dtype.type
    zero, one, two = number(0), number(1), number(2)
    soft, first_gap, second_gap = scratch[0], scratch[1], scratch[2]
    sharpness = 1.0 / gamma
    for lane in range(LANES):
        lower = left[lane] if left[lane] < up[lane] else up[lane]
        lowest = diagonal[lane] if diagonal[lane] < lower else lower
        first_gap[lane] = (up[lane] - left[lane]) * sharpness
        second_gap[lane] = (lower - diagonal[lane]) * sharpness
        costs[lane] = lowest + (x_norms[lane] + y_norms[lane])
    smoothing = number(gamma)
    for lane in range(LANES):
        first, second = first_gap[lane], second_gap[lane]
        exp_first = _exp_of_negative(-abs(first))
        exp_second = _exp_of_negative(-abs(second))
        weight_lower = one if second <= zero else exp_second
        weight_diagonal = exp_second if second <= zero else one
        weight_higher = weight_lower * exp_first
        total = weight_lower + weight_higher + weight_diagonal
        share = one / total
        soft[lane] = two * products[lane] + smoothing * _log_of_sum(total)
        probabilities[lane] = share * (weight_lower if first <= zero else weight_higher)
        probabilities[lane + LANES] = share * (weight_higher if first <= zero else weight_lower)
        probabilities[lane + 2 * LANES] = share * weight_diagonal
    for lane in range(LANES):
        costs[lane] -= np.float64(soft[lane])


@njit(**COMPILED)
def _forward(products, x_norms, y_norms, gamma, rows, columns, probabilities, stride):
    """Fill `probabilities` and return the soft minimum of the cost of all paths.

    `products` is (>= rows, >= columns), `x_norms` (strips * LANES,); `y_norms` holds the columns in
    reverse between LANES - 1 zeros on either side. `stride` is 0 if nothing need be kept.
    """
    steps = columns + LANES - 1
    last_strip, last_lane = (rows - 1) // LANES, (rows - 1) % LANES
    skewed = np.zeros((steps, LANES), products.dtype)
    scratch = np.empty((3, LANES), products.dtype)
    ring = np.empty((3, LANES + 1), np.float64)  # position 0 is the row above the strip
    above = np.full(columns + 1, UNREACHABLE)  # shifted by one: position 0 is left of column 0
    above[0] = 0.0
    value = 0.0
    for strip in range(last_strip + 1):
        start = strip * LANES
        for lane in range(min(LANES, rows - start)):
            for column in range(columns):
                skewed[column + lane, lane] = products[start + lane, column]
        ring[:] = UNREACHABLE
        for k in range(steps):
            current, previous, before = ring[k % 3], ring[(k + 2) % 3], ring[(k + 1) % 3]
            previous[0] = above[k + 1] if k < columns else UNREACHABLE
            before[0] = above[k] if k <= columns else UNREACHABLE
            reverse = steps - 1 - k
            position = (strip * steps + k) * stride
            _step(
                previous[:LANES],
                previous[1:],
                before[:LANES],
                skewed[k],
                x_norms[start : start + LANES],
                y_norms[reverse : reverse + LANES],
                scratch,
                gamma,
                current[1:],
                probabilities[position : position + 3 * LANES],
            )
            if k >= LANES - 1:
                above[k - LANES + 2] = current[LANES]
            if strip == last_strip and k == columns - 1 + last_lane:
                value = current[last_lane + 1]
        above[0] = UNREACHABLE
    return value


@njit(**COMPILED)
def _step_back(after, later, into_after, into_later, tiny, out):
    """Compute one anti-diagonal of E from the two behind it and the probabilities into those.

    What would become a denormal number, slow and of no weight, is set to zero.
    """
    nothing = out.dtype.type(0)
    for lane in range(LANES):
        flow = after[lane + 1] * into_after[lane + 1]  # the path goes to the next row
        flow += after[lane] * into_after[lane + LANES]  # to the next column
        flow += later[lane + 1] * into_later[lane + 1 + 2 * LANES]  # to both
        out[lane] = flow if flow > tiny else nothing


@njit(**COMPILED)
def _backward(probabilities, rows, columns, tiny, alignment):
    """Overwrite `alignment` (>= rows, >= columns) with E, zero outside of (rows, columns).

    Lanes outside of the matrix hold zero by themselves: no probability leads there.
    """
    steps, stride = columns + LANES - 1, 3 * LANES
    last_strip, last_lane = (rows - 1) // LANES, (rows - 1) % LANES
    skewed = np.zeros((steps + 2, PADDED_LANES), alignment.dtype)
    to_above = np.zeros(columns, alignment.dtype)  # what the strip below sends to each column
    probabilities[(last_strip + 1) * steps * stride :] = 0
    alignment[rows:] = 0
    alignment[:, columns:] = 0
    for strip in range(last_strip, -1, -1):
        for k in range(steps - 1, -1, -1):
            row = skewed[k]
            here = (strip * steps + k) * stride
            into_after = probabilities[here + stride : here + 2 * stride]
            into_later = probabilities[here + 2 * stride : here + 3 * stride + 1]
            _step_back(skewed[k + 1], skewed[k + 2], into_after, into_later, tiny, row)
            if k >= LANES - 1:
                row[LANES - 1] += to_above[k - LANES + 1]
            if strip == last_strip and k == columns - 1 + last_lane:
                row[last_lane] = 1
            if k < columns:
                diagonal = skewed[k + 1, 0] * into_after[2 * LANES]
                to_above[k] = row[0] * probabilities[here] + diagonal
        start = strip * LANES
        for lane in range(min(LANES, rows - start)):
            for column in range(columns):
                alignment[start + lane, column] = skewed[column + lane, lane]


def align(
    products: Tensor,
    x_norms: Tensor,
    y_norms: Tensor,
    gamma: float,
    lengths: list[tuple[int, int]],
    want_alignment: bool,
) -> Tensor:
    """Return soft-DTW values (batch,), float64; see `backend_torch.align`, which it equals.

    The pairs are shared among as many threads as PyTorch uses. Beside `products`, which the
    alignment overwrites, each thread holds the probabilities of one pair.
    """
    arrays = products.numpy(), x_norms.double().numpy(), y_norms.double().numpy()
    tiny = np.finfo(arrays[0].dtype).tiny * arrays[0].dtype.type(1e8)
    values = np.empty(len(lengths))
    # the longest first, so that no thread is left with a long pair at the end
    order = sorted(range(len(lengths)), key=lambda item: -math.prod(lengths[item]))
    workers = min(torch.get_num_threads(), len(lengths))
    largest = max(_probabilities_of(*pair) for pair in lengths)

    def work(items: list[int]) -> None:
        size = largest if want_alignment else 3 * LANES
        probabilities = np.empty(size, arrays[0].dtype)
        for item in items:
            values[item] = _align_pair(
                *(array[item] for array in arrays), gamma, *lengths[item], tiny, probabilities
            )

    shares = [order[worker::workers] for worker in range(workers)]
    if workers == 1:
        work(shares[0])
    else:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(work, shares))
    return torch.from_numpy(values)


def _probabilities_of(rows: int, columns: int) -> int:
    """Count the numbers to be stored for one pair, with two anti-diagonals of zeros behind."""
    return (math.ceil(rows / LANES) * (columns + LANES - 1) + 2) * 3 * LANES + 1


def _align_pair(products, x_norms, y_norms, gamma, rows, columns, tiny, probabilities) -> float:
    """Return the value of one pair; overwrite `products` if all `probabilities` can be kept."""
    keep = len(probabilities) > 3 * LANES
    padded_x = np.zeros(math.ceil(rows / LANES) * LANES)
    padded_x[:rows] = x_norms[:rows]
    padded_y = np.zeros(columns + 2 * LANES - 2)
    padded_y[LANES - 1 : LANES - 1 + columns] = y_norms[:columns][::-1]
    stride = 3 * LANES if keep else 0
    value = _forward(products, padded_x, padded_y, gamma, rows, columns, probabilities, stride)
    if keep:
        used = probabilities[: _probabilities_of(rows, columns)]
        _backward(used, rows, columns, tiny, products)
    return value
