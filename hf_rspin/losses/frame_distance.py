"""Distance of two views frame by frame: LASER's loss where the speed is not changed (NR-SSFT)."""

from __future__ import annotations

import torch
from torch import Tensor

from hf_rspin.losses.sequences import Lengths, check_lengths, check_pair, zero_padding


def frame_distance(x: Tensor, y: Tensor, lengths: Lengths = None) -> Tensor:
    """Squared Euclidean distance of frame t of one view and frame t of the other, summed over t.

    That is the cost of soft-DTW along the diagonal. Mean squared error is this over frames * dim;
    a sum takes the place of the divergence, which is one too, beside the same regulariser.
    Computed in float32 at least.

    Args:
        x: (batch, frames, dim), rows of unit L2 norm in LASER.
        y: (batch, frames, dim), the same frames of the other view.
        lengths: (batch,) valid frames of both, a tensor or a list; None if all are.

    Returns:
        (batch,).

    Raises:
        TypeError: no tensors of floats of one type, or lengths that are no integers.
        ValueError: shapes that differ, or a length outside of 1 to frames.

    Example:
        >>> frame_distance(torch.eye(2)[None], torch.zeros(1, 2, 2))
        tensor([2.])
    """
    check_pair(x, y)
    if x.shape != y.shape:
        raise ValueError(
            f"the views have {x.shape[1]} and {y.shape[1]} frames; expected equally many, which "
            "are compared one by one: leave out changes of speed, or align them by soft-DTW."
        )
    counts = check_lengths("lengths", lengths, *x.shape[:2])
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    return zero_padding(x.to(dtype) - y.to(dtype), counts).square().sum(dim=(1, 2))
