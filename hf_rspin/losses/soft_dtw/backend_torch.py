"""Soft-DTW alignments in plain PyTorch, on any device: the reference for the faster kernels.

The matrix of costs is skewed, so that the cells of an anti-diagonal, which do not depend on each
other, lie side by side; a step of the loop works on one anti-diagonal of the whole batch.

Source: Cuturi and Blondel, "Soft-DTW" (arXiv 1703.01541), algorithms 1 and 2; the derivatives of
the soft minimum are stored as probabilities of the three transitions instead of recomputed.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad


def align(
    products: Tensor,
    x_norms: Tensor,
    y_norms: Tensor,
    gamma: float,
    lengths: list[tuple[int, int]],
    want_alignment: bool,
) -> Tensor:
    """Compute soft-DTW values, and overwrite `products` with the expected alignment E.

    E[i, j] is the derivative of the value with respect to the cost of cell (i, j): the probability
    that a path visits it. The cost is x_norms[i] + y_norms[j] - 2 products[i, j].

    Args:
        products: (batch, x_frames, y_frames), contiguous, inner products; used up.
        x_norms: (batch, x_frames), squared L2 norms.
        y_norms: (batch, y_frames).
        gamma: smoothing, in units of the cost.
        lengths: valid (x_frames, y_frames) of each pair; what lies beyond must be finite.
        want_alignment: whether to compute E; it is zero beyond the lengths.

    Returns:
        (batch,), in float64 where the device has it: path costs are sums of many terms.
    """
    costs = products.mul_(-2).add_(x_norms[:, :, None]).add_(y_norms[:, None, :])
    skewed = _skew(costs)  # (anti-diagonals, batch, x_frames)
    values, probabilities = _forward(skewed, gamma, lengths, want_alignment)
    if want_alignment:
        # the costs are no longer needed: E takes their place
        _backward(skewed, probabilities, lengths)
        products.copy_(_unskew(skewed, costs.shape[2]))
    return values


def _skew(costs: Tensor) -> Tensor:
    """Turn (batch, rows, columns) into (anti-diagonals, batch, rows), zero outside."""
    batch, rows, columns = costs.shape
    # a row of rows + columns numbers, cut one number short: every row starts one step later
    padded = pad(costs, (0, rows)).flatten(1)[:, :-rows]
    return padded.view(batch, rows, rows + columns - 1).permute(2, 0, 1).contiguous()


def _unskew(skewed: Tensor, columns: int) -> Tensor:
    """Turn (anti-diagonals, batch, rows) into (batch, rows, columns)."""
    _, batch, rows = skewed.shape
    padded = pad(skewed.permute(1, 2, 0).flatten(1), (0, rows))
    return padded.view(batch, rows, rows + columns)[:, :, :columns]


def _forward(
    skewed: Tensor, gamma: float, lengths: list[tuple[int, int]], keep: bool
) -> tuple[Tensor, Tensor | None]:
    """Return values (batch,), and if wanted (3, anti-diagonals, batch, rows) probabilities.

    The probabilities are those of coming from the row above, the column before, or both.
    """
    steps, batch, rows = skewed.shape
    dtype = skewed.dtype if skewed.device.type == "mps" else torch.float64
    values = torch.empty(batch, dtype=dtype, device=skewed.device)
    probabilities = skewed.new_zeros(3, *skewed.shape) if keep else None
    lanes = torch.arange(rows, device=skewed.device)
    # position 0 is the row above the matrix: all paths start before its first cell
    previous = torch.full((batch, rows + 1), torch.inf, dtype=dtype, device=skewed.device)
    before = previous.clone()
    before[:, 0] = 0
    for k in range(steps):
        origins = torch.stack([previous[:, :-1], previous[:, 1:], before[:, :-1]])
        lowest = origins.amin(0)
        # a maximum in place of inf: outside of the matrix, where no path arrives, is no inf - inf
        gaps = (lowest.clamp(max=torch.finfo(dtype).max) - origins) / gamma
        weights = gaps.to(skewed.dtype).exp_()
        total = weights.sum(0)
        inside = (lanes <= k) & (lanes > k - (steps - rows + 1))
        before, previous = previous, torch.full_like(previous, torch.inf)
        costs = lowest + skewed[k] - gamma * total.log()
        previous[:, 1:] = costs.masked_fill_(~inside, torch.inf)
        if probabilities is not None:
            probabilities[:, k] = (weights / total).masked_fill_(~inside, 0)
        for item, (last_row, last_column) in enumerate(lengths):
            if last_row + last_column - 2 == k:
                values[item] = costs[item, last_row - 1]
    return values, probabilities


def _backward(alignment: Tensor, probabilities: Tensor, lengths: list[tuple[int, int]]) -> None:
    """Overwrite `alignment` (anti-diagonals, batch, rows) with E, from the last cells backwards."""
    up, left, diagonal = probabilities
    alignment.zero_()
    for item, (rows, columns) in enumerate(lengths):
        alignment[rows + columns - 2, item, rows - 1] = 1
    last = len(alignment) - 1
    for k in range(last - 1, -1, -1):
        flow = alignment[k]
        flow += alignment[k + 1] * left[k + 1]
        flow[:, :-1] += (alignment[k + 1] * up[k + 1])[:, 1:]
        if k + 2 <= last:
            flow[:, :-1] += (alignment[k + 2] * diagonal[k + 2])[:, 1:]
