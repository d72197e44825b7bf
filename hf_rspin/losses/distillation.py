"""DistilHuBERT's loss: L1 distance and cosine between predicted and given features, by layer."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass
class DistillationLossOutput:
    """The loss and its parts, each a scalar: means over layers and valid frames.

    Attributes:
        loss: `l1` + cosine_weight * `cosine`.
        l1: mean absolute difference over frames and dimensions.
        cosine: mean of -log sigmoid of the cosine of every frame.
    """

    loss: Tensor
    l1: Tensor
    cosine: Tensor


def distillation_loss(
    predictions: Tensor,
    targets: Tensor,
    valid: Tensor | None = None,
    cosine_weight: float = 1.0,
) -> DistillationLossOutput:
    """Return the loss of DistilHuBERT (arXiv 2110.01900, Equation 1), in float32 at least.

    Per layer: mean of |p - t| over frames and dimensions, plus `cosine_weight` times the mean of
    -log sigmoid(cos(p, t)) over frames; averaged over layers, as the public code does. That counts
    padding, which never counts here.

    Args:
        predictions: (batch, layers, frames, dim).
        targets: the same; no gradient flows into them.
        valid: (batch, frames) bool, True on frames that count; None if all do.
        cosine_weight: of the second part.

    Raises:
        ValueError: the shapes differ.

    Example:
        >>> loss = distillation_loss(torch.zeros(1, 2, 3, 4), torch.ones(1, 2, 3, 4)).loss
        >>> round(float(loss), 4)  # 1 + log 2: the cosine with zeros is 0
        1.6931
    """
    if predictions.shape != targets.shape or predictions.dim() != 4:
        raise ValueError(
            f"got predictions of shape {tuple(predictions.shape)} and targets of shape "
            f"{tuple(targets.shape)}; expected both (batch, layers, frames, dim)."
        )
    with torch.autocast(predictions.device.type, enabled=False):
        wide = torch.promote_types(predictions.dtype, torch.float32)
        predictions, targets = predictions.to(wide), targets.detach().to(wide)
        differences = (predictions - targets).abs().mean(dim=-1)  # (batch, layers, frames)
        cosines = functional.cosine_similarity(predictions, targets, dim=-1)
        angles = -functional.logsigmoid(cosines)
        l1, cosine = _mean_of_valid(differences, valid), _mean_of_valid(angles, valid)
    return DistillationLossOutput(l1 + cosine_weight * cosine, l1, cosine)


def _mean_of_valid(values: Tensor, valid: Tensor | None) -> Tensor:
    """Mean over valid frames of (batch, layers, frames), averaged over layers; 0 of no frame."""
    if valid is None:
        return values.mean()
    kept = valid[:, None]  # (batch, 1, frames)
    total = torch.where(kept, values, 0).sum()
    return total / (values.shape[1] * kept.sum()).clamp_min(1)
