"""Soft-DTW and its divergence, exact, of batches of sequences of unequal lengths.

With costs D[i, j] = |x_i - y_j|^2 and steps (1, 0), (0, 1), (1, 1) from the first pair of frames to
the last, over all monotone paths:
soft_dtw(x, y) = -gamma log sum over paths exp(-cost of the path / gamma)
(Cuturi and Blondel, arXiv 1703.01541, equation 1). Its derivative with respect to D is E, the
expected alignment, hence d / d x_i = 2 sum_j E[i, j] (x_i - y_j).
"""

from __future__ import annotations

import math
from importlib.util import find_spec

import torch
from torch import Tensor

from hf_rspin.losses.sequences import (
    Lengths,
    check_lengths,
    check_pair,
    mean_of,
    refuse_second_derivative,
    squared_norms,
    zero_padding,
)
from hf_rspin.losses.sinkhorn import computing_dtype
from hf_rspin.losses.soft_dtw.backend_torch import align as align_with_torch


def soft_dtw(
    x: Tensor,
    y: Tensor,
    gamma: float = 0.1,
    x_lengths: Lengths = None,
    y_lengths: Lengths = None,
) -> Tensor:
    """Soft minimum of the cost of aligning x with y, with squared Euclidean costs.

    Computed in float32 (float64 for float64 inputs), also under autocast, with path costs in
    float64. Padding has no influence on values or gradients, whatever it holds. One matrix of
    (batch, x_frames, y_frames) is kept for the backward pass. A CPU uses compiled loops, CUDA a
    Triton kernel, and any device plain PyTorch if numba or Triton are missing. Differentiable
    once: `create_graph=True` is refused. With TF32 switched on, costs have three digits only.

    Args:
        x: (batch, x_frames, dim), any floating type.
        y: (batch, y_frames, dim), of the same type.
        gamma: smoothing in units of the cost; towards 0 the value becomes that of DTW.
        x_lengths: (batch,) valid frames of each x, a tensor or a list; None if all are.
        y_lengths: (batch,) valid frames of each y.

    Returns:
        (batch,) in float32 (float64 for float64 inputs); not divided by the lengths.

    Raises:
        TypeError: inputs that are no tensors of floats of one type, lengths that are no integers.
        ValueError: shapes, devices or lengths that do not fit, empty sequences, NaN or infinity
            among the valid frames, or gamma that is not positive.
    """
    pair_lengths = _check(x, y, gamma, x_lengths, y_lengths)
    return _apply(x, y, gamma, pair_lengths)


def soft_dtw_divergence(
    x: Tensor,
    y: Tensor,
    gamma: float = 0.1,
    x_lengths: Lengths = None,
    y_lengths: Lengths = None,
) -> Tensor:
    """Soft-DTW divergence: soft_dtw(x, y) - [soft_dtw(x, x) + soft_dtw(y, y)] / 2.

    Zero for equal sequences and positive otherwise (Blondel, Mensch and Vert, arXiv 2010.08354,
    equation 9). All three terms are differentiated. Arguments, result and errors are those of
    `soft_dtw`; the lengths of x and y may differ.
    """
    lengths = _check(x, y, gamma, x_lengths, y_lengths)
    value = _apply(x, y, gamma, lengths)
    value_x = _apply(x, None, gamma, [(frames, frames) for frames, _ in lengths])
    value_y = _apply(y, None, gamma, [(frames, frames) for _, frames in lengths])
    return value - (value_x + value_y) / 2


def _check(
    x: Tensor, y: Tensor, gamma: float, x_lengths: Lengths, y_lengths: Lengths
) -> list[tuple[int, int]]:
    if not (gamma > 0 and math.isfinite(gamma)):
        raise ValueError(
            f"gamma is {gamma}; expected a positive number such as 0.1: for hard DTW use a small "
            "one such as 1e-4."
        )
    check_pair(x, y)
    batch, x_frames, _ = x.shape
    x_counts = check_lengths("x_lengths", x_lengths, batch, x_frames)
    y_counts = check_lengths("y_lengths", y_lengths, batch, y.shape[1])
    return list(zip(x_counts, y_counts, strict=True))


def _apply(x: Tensor, y: Tensor | None, gamma: float, lengths: list[tuple[int, int]]) -> Tensor:
    inputs = (x,) if y is None else (x, y)
    want_grads = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in inputs)
    return _SoftDTW.apply(x, y, float(gamma), lengths, want_grads)


class _SoftDTW(torch.autograd.Function):
    """Costs, soft-DTW and both gradients as one node; y is None for x with itself.

    The expected alignment is computed along with the value and takes the place of the costs, so
    that a single matrix of (batch, x_frames, y_frames) lives from the forward to the backward.
    """

    @staticmethod
    def forward(ctx, x, y, gamma, lengths, want_grads):
        dtype = computing_dtype(x)
        rows, columns = zip(*lengths, strict=True)
        with torch.autocast(x.device.type, enabled=False):
            x_valid = zero_padding(x.detach().to(dtype), list(rows))
            squared_norms("x", x_valid)  # refuses what is no number
            if y is None:
                x_valid = y_valid = _centred(x_valid, rows, mean_of(x_valid, rows))
            else:
                y_valid = zero_padding(y.detach().to(dtype), list(columns))
                squared_norms("y", y_valid)
                # costs do not see a common offset, but |x|^2 + |y|^2 - 2xy would cancel with one
                centre = (mean_of(x_valid, rows) + mean_of(y_valid, columns)) / 2
                x_valid = _centred(x_valid, rows, centre)
                y_valid = _centred(y_valid, columns, centre)
            x_norms, y_norms = squared_norms("x", x_valid), squared_norms("y", y_valid)
            products = torch.bmm(x_valid, y_valid.mT)  # (batch, x_frames, y_frames)
            values = _align(products, x_norms, y_norms, gamma, lengths, want_grads)
        if want_grads:
            ctx.save_for_backward(products, x_valid, *(() if y is None else (y_valid,)))
            ctx.dtype = x.dtype
        return values.to(dtype)

    @staticmethod
    def backward(ctx, gradient):
        refuse_second_derivative("soft_dtw")
        alignment, x, *rest = ctx.saved_tensors
        scale = 2 * gradient[:, None, None].to(x.dtype)
        needs_x, needs_y = ctx.needs_input_grad[:2]
        x_grad = y_grad = None
        if not rest:
            # costs, and so the alignment, are symmetric: both arguments have this gradient
            x_grad = _pull(alignment, x, x, 2 * scale).to(ctx.dtype)
        else:
            if needs_x:
                x_grad = _pull(alignment, x, rest[0], scale).to(ctx.dtype)
            if needs_y:
                y_grad = _pull(alignment.mT, rest[0], x, scale).to(ctx.dtype)
        return x_grad, y_grad, None, None, None


def _centred(sequences: Tensor, lengths: tuple[int, ...], centre: Tensor) -> Tensor:
    """Return sequences (batch, frames, dim) without `centre` (batch, 1, dim), padding still 0."""
    return zero_padding(sequences - centre, list(lengths))


def _pull(alignment: Tensor, x: Tensor, y: Tensor, scale: Tensor) -> Tensor:
    """Return scale * sum_j E[i, j] (x_i - y_j), (batch, x_frames, dim)."""
    with torch.autocast(x.device.type, enabled=False):
        visits = alignment.sum(2, keepdim=True)  # (batch, x_frames, 1)
        return (x * visits).baddbmm_(alignment, y, alpha=-1).mul_(scale)


def _align(products: Tensor, *arguments) -> Tensor:
    """Call the fastest kernel that is installed for this device; see `backend_torch.align`."""
    if products.device.type == "cpu" and find_spec("numba") is not None:
        from hf_rspin.losses.soft_dtw.backend_cpu import align as align_on_cpu

        return align_on_cpu(products, *arguments)
    if products.device.type == "cuda" and find_spec("triton") is not None:
        from hf_rspin.losses.soft_dtw.backend_triton import align as align_with_triton

        return align_with_triton(products, *arguments)
    return align_with_torch(products, *arguments)
