"""How alike the frames of an utterance are: what a collapse shows in."""

from __future__ import annotations

import torch
from torch import Tensor


@torch.no_grad()
def pairwise_cosine(
    projections: Tensor, lengths: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return the mean and the standard deviation of the cosines of all pairs of frames.

    A mean near 1 is full collapse: all frames are one vector. From the sum and the second moments
    of the frames, without a (frames, frames) matrix: sum_ij z_i . z_j = |sum_i z_i|^2 and
    sum_ij (z_i . z_j)^2 = |Z^T Z|^2, of which the n pairs of a frame with itself are taken off.

    Args:
        projections: (batch, frames, dim), rows of unit L2 norm.
        lengths: (batch,) valid frames; None if all are.

    Returns:
        Two tensors (batch,) in float64, or float32 where the device has no other; NaN for
        utterances of one frame, which has no pair.
    """
    dtype = torch.float32 if projections.device.type == "mps" else torch.float64
    frames = projections.to(dtype)
    counts = torch.full((len(frames),), frames.shape[1], device=frames.device)
    if lengths is not None:
        counts = lengths.to(frames.device)
        inside = torch.arange(frames.shape[1], device=frames.device) < counts[:, None]
        frames = frames.masked_fill(~inside[..., None], 0)
    with torch.autocast(frames.device.type, enabled=False):
        squares = frames.mT @ frames  # (batch, dim, dim)
    pairs = (counts * (counts - 1)).to(dtype)
    pairs = pairs.masked_fill(pairs == 0, torch.nan)
    mean = (frames.sum(dim=1).square().sum(dim=-1) - counts) / pairs
    second = (squares.square().sum(dim=(1, 2)) - counts) / pairs
    return mean, (second - mean.square()).clamp_min(0).sqrt()
