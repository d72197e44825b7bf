"""Contrastive-IDM: frames far apart in time are kept apart (regulariser of LASER).

With n frames z, distances d = |z_i - z_j| (not squared) and W = (i - j)^2 + 1,
I = 1 / n^2 * sum over all ordered pairs of { W max(margin - d, 0) if |i - j| > sigma, else d / W }.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from hf_rspin.losses.sequences import (
    Lengths,
    check_lengths,
    check_sequences,
    refuse_second_derivative,
    squared_norms,
    valid_frames,
    zero_padding,
)
from hf_rspin.losses.sinkhorn import computing_dtype

# squared distances below this share of the squared norms are rounding, of frames that are equal
ROUNDING = 16


class IDMConstants(NamedTuple):
    """Constants of Contrastive-IDM.

    Attributes:
        sigma: frames up to this many apart attract each other; 0 means that none do.
        margin: distance up to which all other frames repel each other.
    """

    sigma: int = 0
    margin: float = 1.1


def contrastive_idm(
    x: Tensor, lengths: Lengths = None, sigma: int = 0, margin: float = 1.1
) -> Tensor:
    """Contrastive inverse difference moment of each sequence.

    Computed in float64 where the device has it: near collapse the loss lives on the distances of
    almost equal frames. Frames that are equal have no direction to go apart: their gradient is
    zero, so that full collapse, with a value of about margin * n^2 / 6, is a stationary point.
    Differs from the authors' code in that it takes a batch, and lengths. Differentiable once.

    Args:
        x: (batch, frames, dim), rows of unit L2 norm in LASER, any floating type.
        lengths: (batch,) valid frames, a tensor or a list; None if all are.
        sigma: frames up to this many apart attract each other; 0 means that none do.
        margin: distance up to which all other frames repel each other.

    Returns:
        (batch,) in float32 (float64 for float64 inputs).

    Raises:
        TypeError: input that is no tensor of floats, lengths that are no integers.
        ValueError: wrong shape, length or constant, empty sequences, NaN or infinity among the
            valid frames.
    """
    if not (math.isfinite(margin) and margin > 0):
        raise ValueError(f"margin is {margin}; expected a positive number such as 1.1.")
    if sigma < 0 or sigma != int(sigma):
        raise ValueError(
            f"sigma is {sigma}; expected a count of frames, 0 or more: 0 as in the published runs."
        )
    check_sequences("x", x)
    counts = check_lengths("lengths", lengths, *x.shape[:2])
    want_grad = torch.is_grad_enabled() and x.requires_grad
    return _ContrastiveIDM.apply(x, counts, IDMConstants(int(sigma), float(margin)), want_grad)


class _ContrastiveIDM(torch.autograd.Function):
    """The whole loss as one node; the gradient is computed along with it.

    With f'(d) the derivative of a pair's term, d I / d z_i = 2 / n^2 * sum_j f'(d) / d (z_i - z_j).
    """

    @staticmethod
    def forward(ctx, x, lengths, constants, want_grad):
        dtype = computing_dtype(x) if x.device.type == "mps" else torch.float64
        with torch.autocast(x.device.type, enabled=False):
            frames = zero_padding(x.detach().to(dtype), lengths)
            norms = squared_norms("x", frames)
            squares = norms[:, :, None] + norms[:, None, :]
            floor = squares * (ROUNDING * torch.finfo(squares.dtype).eps)
            squares.baddbmm_(frames, frames.mT, alpha=-2)
            distances = squares.masked_fill_(squares <= floor, 0).sqrt_()  # (batch, n, n)
            counts = torch.tensor(lengths, device=x.device, dtype=distances.dtype)
            values, slopes = _terms(distances, constants)
            inside = valid_frames(x, lengths)
            inside = inside[:, :, None] & inside[:, None, :]
            value = values.masked_fill_(~inside, 0).sum((1, 2)) / counts**2
            if want_grad:
                # f'(d) / d, nothing for equal frames
                pulls = slopes.div_(distances).masked_fill_((distances == 0) | ~inside, 0)
                grad = (frames * pulls.sum(2, keepdim=True)).baddbmm_(pulls, frames, alpha=-1)
                ctx.save_for_backward(grad.mul_(2 / counts[:, None, None] ** 2).to(x.dtype))
        return value.to(computing_dtype(x))

    @staticmethod
    def backward(ctx, gradient):
        refuse_second_derivative("contrastive_idm")
        (grad,) = ctx.saved_tensors
        return (grad * gradient[:, None, None]).to(grad.dtype), None, None, None


def _terms(distances: Tensor, constants: IDMConstants) -> tuple[Tensor, Tensor]:
    """Return each pair's term of the sum and its derivative, (batch, frames, frames)."""
    times = torch.arange(distances.shape[1], device=distances.device, dtype=distances.dtype)
    gaps = times[:, None] - times  # (frames, frames)
    weights = gaps.square() + 1
    near = gaps.abs() <= constants.sigma
    missing = (constants.margin - distances).clamp_(min=0)
    values = torch.where(near, distances / weights, weights * missing)
    slopes = torch.where(near, 1 / weights, -weights * (missing > 0))
    return values, slopes
