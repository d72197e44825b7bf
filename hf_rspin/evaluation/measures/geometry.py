"""The shape of a set of frames: alignment of two views, uniformity, effective rank."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize


def alignment(x: Tensor, y: Tensor) -> float:
    """Return the mean squared distance, on the unit sphere, of paired frames (frames, dim) each.

    Wang and Isola (2020), equation 2, with exponent 2; 0: both views are equal.

    Raises:
        ValueError: the two do not pair, or there is no frame.
    """
    x, y = torch.as_tensor(x), torch.as_tensor(y)
    if x.ndim != 2 or x.shape != y.shape or len(x) == 0:
        raise ValueError(
            f"got x {tuple(x.shape)} and y {tuple(y.shape)}; expected (frames, dim), both alike, "
            "with a frame or more."
        )
    gaps = normalize(x.double(), dim=-1) - normalize(y.double(), dim=-1)
    return float(gaps.square().sum(-1).mean())


def uniformity(frames: Tensor) -> float:
    """Return log mean exp(-2 |x - y|^2) over pairs of `frames` (frames, dim) on the unit sphere.

    Raises:
        ValueError: fewer than two frames.
    """
    frames = torch.as_tensor(frames)
    _check(frames, 2)
    units, count = normalize(frames.double(), dim=-1), len(frames)
    if not frames.any():
        return 0.0  # all at one place, which has no direction
    potential = torch.exp(-4 * (1 - units @ units.T))  # |x - y|^2 = 2 - 2 x.y
    others = potential.sum() - potential.diagonal().sum()
    return float(torch.log(others / (count * (count - 1))))


def effective_rank(frames: Tensor) -> float:
    """Return exp of the entropy of the singular values of centred `frames`; 0 if all are equal.

    Raises:
        ValueError: no frame, or one with nan or infinity.
    """
    frames = torch.as_tensor(frames)
    _check(frames, 1)
    precision = torch.finfo(frames.dtype).eps if frames.is_floating_point() else 0.0
    frames = frames.double()
    if not frames.isfinite().all():
        raise ValueError("got frames with nan or infinity; expected finite numbers.")
    centred = frames - frames.mean(0)  # (frames, dim)
    if centred.abs().max() <= 4 * precision * frames.abs().max():
        return 0.0  # equal but for rounding
    # Of the smaller Gram matrix: several times faster than a singular value decomposition.
    gram = centred.T @ centred if len(centred) > centred.shape[1] else centred @ centred.T
    values = torch.linalg.eigvalsh(gram).clamp(min=0).sqrt()
    shares = values[values > 0] / values.sum()
    return float(torch.exp(-(shares * shares.log()).sum())) if len(shares) else 0.0


def _check(frames: Tensor, least: int) -> None:
    if frames.ndim != 2 or len(frames) < least:
        raise ValueError(
            f"got frames {tuple(frames.shape)}; expected (frames, dim) with {least} frames or more."
        )
