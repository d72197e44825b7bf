"""Variance, invariance and covariance of two views: VICReg (arXiv 2105.04906), in HuBERT-VIC.

With frames Z (frames, dim) of one view and Z' of the other, the loss of VICReg is
mu [v(Z) + v(Z')] + lambda s(Z, Z') + nu [c(Z) + c(Z')], where
v(Z) = mean over dimensions of max(0, gamma - sqrt(Var(Z) + eps)),
s(Z, Z') = mean over frames and dimensions of (Z - Z')^2,
c(Z) = sum of the squared covariances of two different dimensions / dim.
The paper of VICReg sums s over dimensions, its public code takes this mean and halves the sum of v;
its weights 25, 25 and 1 belong to the code: with the losses here they are mu 12.5, lambda 25, nu 1.
HuBERT-VIC (arXiv 2508.12292) adds them for a noisy and a clean view. Var and covariance divide by
frames - 1, and frames of a batch take the place of VICReg's images.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hf_rspin.losses.distributed import all_reduce_with_grad, reduce_sum_, world_size


def variance_loss(
    clean: Tensor, perturbed: Tensor, gamma: float = 1.0, epsilon: float = 1e-4
) -> Tensor:
    """Hinge on the standard deviation of every dimension: v(Z) + v(Z'), from 0 to 2 gamma.

    Each frame may be anything, as long as frames differ: against collapse to one vector. The three
    losses of this file are computed in float32 at least, also under autocast. In a distributed run
    mean, variance and covariance are those of the frames of all ranks, and the loss is equal on
    every rank; gradients are scaled so that their average over ranks is that of one process.

    Args:
        clean: (frames, dim), the valid frames of a batch, any scale.
        perturbed: (frames, dim), the same frames of the other view.
        gamma: standard deviation from which on a dimension is left alone.
        epsilon: added to the variance, so that the root has a gradient at 0.

    Raises:
        ValueError: other shapes, fewer than two frames, or a constant out of range.

    Example:
        >>> variance_loss(torch.zeros(4, 2), torch.zeros(4, 2))  # 2 (1 - sqrt(1e-4))
        tensor(1.9800)
    """
    for name, value in (("gamma", gamma), ("epsilon", epsilon)):
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} is {value}; expected a positive number.")
    hinges = []
    for view in _views(clean, perturbed, least=2):
        with torch.autocast(view.device.type, enabled=False):
            centred, count = _centred(view)
            variances = all_reduce_with_grad(centred.square().sum(dim=0)) / count  # (dim,)
            hinges.append((gamma - (variances + epsilon).sqrt()).clamp_min(0).mean())
    return hinges[0] + hinges[1]


def invariance_loss(clean: Tensor, perturbed: Tensor) -> Tensor:
    """Mean squared difference of two views, over frames and dimensions; see `variance_loss`.

    Args:
        clean: (frames, dim), the valid frames of a batch.
        perturbed: (frames, dim), the same frames of the other view.

    Raises:
        ValueError: other shapes, or no frame.
    """
    clean, perturbed = _views(clean, perturbed, least=1)
    total = all_reduce_with_grad((clean - perturbed).square().sum())
    return total / (_num_frames(clean) * clean.shape[1])


def covariance_loss(clean: Tensor, perturbed: Tensor) -> Tensor:
    """Squared covariances of two different dimensions over dim: c(Z) + c(Z').

    Against dimensions that tell the same; see `variance_loss`.

    Args:
        clean: (frames, dim), the valid frames of a batch.
        perturbed: (frames, dim), the same frames of the other view.

    Raises:
        ValueError: other shapes, or fewer than two frames.
    """
    terms = []
    for view in _views(clean, perturbed, least=2):
        with torch.autocast(view.device.type, enabled=False):
            centred, count = _centred(view)
            covariance = all_reduce_with_grad(centred.T @ centred) / count  # (dim, dim)
            others = covariance - torch.diag(covariance.diagonal())
            terms.append(others.square().sum() / view.shape[1])
    return terms[0] + terms[1]


def _views(clean: Tensor, perturbed: Tensor, least: int) -> tuple[Tensor, Tensor]:
    """Return both views in float32 at least.

    Raises:
        ValueError: see the callers.
    """
    if clean.ndim != 2 or clean.shape != perturbed.shape:
        raise ValueError(
            f"the views have shapes {tuple(clean.shape)} and {tuple(perturbed.shape)}; expected "
            "the same (frames, dim) twice: crop both views alike and keep valid frames only."
        )
    if len(clean) < least and world_size() == 1:
        raise ValueError(
            f"the views hold {len(clean)} frames; expected {least} or more: raise batch_seconds."
        )
    dtype = torch.float64 if clean.dtype == torch.float64 else torch.float32
    return clean.to(dtype), perturbed.to(dtype)


def _num_frames(view: Tensor) -> Tensor:
    return reduce_sum_(torch.tensor(float(len(view)), device=view.device))


def _centred(view: Tensor) -> tuple[Tensor, Tensor]:
    """Return the frames without their mean over all ranks, and the number of frames less one.

    The mean takes no gradient: that of a variance or covariance by the mean is the sum of the
    centred frames, 0. One through `all_reduce_with_grad` would be wrong, as ranks differ in it.
    """
    count = _num_frames(view)
    mean = reduce_sum_(view.detach().sum(dim=0)) / count.clamp_min(1)
    return view - mean, (count - 1).clamp_min(1)
