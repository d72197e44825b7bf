"""Soft-DTW alignments on CUDA: one Triton program per pair, any length.

A program walks over the anti-diagonals of its matrix, a block of `block` rows at a time, with a
barrier after each anti-diagonal. Path costs of the last three lie in a small buffer of float64;
the probabilities of the transitions are stored anti-diagonal after anti-diagonal without gaps, so
that three matrices of (batch, x_frames, y_frames) live during the call beside the products, which
the alignment overwrites.

Source: Cuturi and Blondel, "Soft-DTW" (arXiv 1703.01541), algorithms 1 and 2.
"""

from __future__ import annotations

import torch
from torch import Tensor

try:
    import triton
    import triton.language as tl
except ImportError as error:
    raise ImportError(
        "triton is not installed; soft-DTW then runs on PyTorch alone. `pip install triton`."
    ) from error

# rows of one anti-diagonal that a program works on at a time
LARGEST_BLOCK = 1024
# cost of a cell that no path reaches
UNREACHABLE = tl.constexpr(1e300)


@triton.jit
def _forward(
    products, x_norms, y_norms, lengths, values, ring, probabilities,
    gamma, x_frames, y_frames, keep: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """Walk forwards: values (batch,), and if kept the probabilities, (batch, 3, frames^2)."""
    item = tl.program_id(0).to(tl.int64)
    rows, columns = tl.load(lengths + 2 * item), tl.load(lengths + 2 * item + 1)
    area = x_frames * y_frames
    products += item * area
    x_norms += item * x_frames
    y_norms += item * y_frames
    probabilities += 3 * item * area
    width = x_frames + 1  # of a ring's row: position 0 is the row above the matrix
    ring += 3 * item * width
    lanes = tl.arange(0, block)
    smoothing = tl.load(gamma)
    # where the probabilities of this anti-diagonal begin
    start = rows.to(tl.int64) * 0
    for k in range(0, rows + columns - 1):
        first, end = tl.maximum(0, k - columns + 1), tl.minimum(rows, k + 1)
        now = ring + k % 3 * width
        last, before = ring + (k + 2) % 3 * width, ring + (k + 1) % 3 * width
        for top in range(first, end, block):
            row = top + lanes
            inside = row < end
            column = k - row
            up = tl.load(last + row, inside & (row > 0), UNREACHABLE)
            left = tl.load(last + row + 1, inside & (column > 0), UNREACHABLE)
            both = tl.load(before + row, inside & (row > 0) & (column > 0), UNREACHABLE)
            both = tl.where((row == 0) & (column == 0), 0.0, both)
            lowest = tl.minimum(tl.minimum(up, left), both)
            w_up = tl.exp(((lowest - up) / smoothing).to(products.dtype.element_ty))
            w_left = tl.exp(((lowest - left) / smoothing).to(products.dtype.element_ty))
            w_both = tl.exp(((lowest - both) / smoothing).to(products.dtype.element_ty))
            total = w_up + w_left + w_both
            product = tl.load(products + row.to(tl.int64) * y_frames + column, inside, 0.0)
            norms = tl.load(x_norms + row, inside, 0.0) + tl.load(y_norms + column, inside, 0.0)
            soft = 2 * product.to(tl.float64) + smoothing * tl.log(total).to(tl.float64)
            costs = lowest + norms - soft
            tl.store(now + row + 1, costs, inside)
            if keep:
                place = probabilities + start + row - first
                tl.store(place, w_up / total, inside)
                tl.store(place + area, w_left / total, inside)
                tl.store(place + 2 * area, w_both / total, inside)
            final = inside & (row == rows - 1) & (column == columns - 1)
            tl.store(values + item + tl.zeros_like(row), costs, final)
        start += end - first
        tl.debug_barrier()


@triton.jit
def _backward(alignment, lengths, ring, probabilities, x_frames, y_frames, block: tl.constexpr):
    """Walk backwards: overwrite the cells of `alignment` within the lengths with E."""
    item = tl.program_id(0).to(tl.int64)
    rows, columns = tl.load(lengths + 2 * item), tl.load(lengths + 2 * item + 1)
    area = x_frames * y_frames
    alignment += item * area
    probabilities += 3 * item * area
    ring += 3 * item * x_frames
    lanes = tl.arange(0, block)
    steps = rows + columns - 1
    # where the probabilities of the next two anti-diagonals begin
    after = rows.to(tl.int64) * columns
    later = after
    for step in range(0, steps):
        k = steps - 1 - step
        first, end = tl.maximum(0, k - columns + 1), tl.minimum(rows, k + 1)
        first_1, first_2 = tl.maximum(0, k - columns + 2), tl.maximum(0, k - columns + 3)
        now = ring + k % 3 * x_frames
        next_1, next_2 = ring + (k + 1) % 3 * x_frames, ring + (k + 2) % 3 * x_frames
        for top in range(first, end, block):
            row = top + lanes
            inside = row < end
            column = k - row
            down = inside & (row + 1 < rows)
            right = inside & (column + 1 < columns)
            flow = tl.load(next_1 + row + 1, down, 0.0) * tl.load(
                probabilities + after + row + 1 - first_1, down, 0.0
            )
            flow += tl.load(next_1 + row, right, 0.0) * tl.load(
                probabilities + area + after + row - first_1, right, 0.0
            )
            flow += tl.load(next_2 + row + 1, down & right, 0.0) * tl.load(
                probabilities + 2 * area + later + row + 1 - first_2, down & right, 0.0
            )
            flow = tl.where((row == rows - 1) & (column == columns - 1), 1.0, flow)
            flow = flow.to(alignment.dtype.element_ty)
            tl.store(now + row, flow, inside)
            tl.store(alignment + row.to(tl.int64) * y_frames + column, flow, inside)
        later = after
        after -= end - first
        tl.debug_barrier()


def align(
    products: Tensor,
    x_norms: Tensor,
    y_norms: Tensor,
    gamma: float,
    lengths: list[tuple[int, int]],
    want_alignment: bool,
) -> Tensor:
    """Return soft-DTW values (batch,), float64; see `backend_torch.align`, which it equals."""
    batch, x_frames, y_frames = products.shape
    bounds = torch.tensor(lengths, dtype=torch.int32, device=products.device)
    block = min(LARGEST_BLOCK, max(32, triton.next_power_of_2(min(x_frames, y_frames))))
    # one stage: no load may move ahead of the barrier that it waits for
    options = {"block": block, "num_warps": max(1, block // 128), "num_stages": 1}
    # as a tensor, because a kernel's number would be rounded to float32
    smoothing = products.new_tensor([gamma], dtype=torch.float64)
    values = products.new_empty(batch, dtype=torch.float64)
    ring = products.new_empty(batch, 3, x_frames + 1, dtype=torch.float64)
    size = x_frames * y_frames if want_alignment else 0
    probabilities = products.new_empty(batch, 3, size)
    with torch.cuda.device_of(products):
        _forward[(batch,)](
            products, x_norms.double(), y_norms.double(), bounds, values, ring, probabilities,
            smoothing, x_frames, y_frames, keep=want_alignment, **options,
        )  # fmt: skip
        if want_alignment:
            flows = products.new_empty(batch, 3, x_frames)
            products.zero_()
            _backward[(batch,)](
                products, bounds, flows, probabilities, x_frames, y_frames, **options
            )
    return values
