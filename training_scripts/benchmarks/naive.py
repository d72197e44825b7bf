"""The plain way to compute what the package computes: the peer beside which it is timed.

Eager attention, dropout of torch, one encoder pass per view, losses written as their equations
with autograd. Needs torch and transformers only.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from hf_rspin.models import LaserModel, RSpinModel


def naive_encoder(model: RSpinModel | LaserModel) -> RSpinModel | LaserModel:
    """Give the encoder of a new model eager attention (WavLM: the stock layer), in place."""
    encoder = model.base_model
    encoder.config._attn_implementation = "eager"
    for layer in encoder.encoder.layers:
        if type(layer.attention).__name__ == "WavLMSdpaAttention":
            layer.attention.__class__ = type(layer.attention).__mro__[1]
    return model


def naive_spin_loss(
    clean: Tensor, perturbed: Tensor, codes: Tensor, temperature: float = 0.1,
    epsilon: float = 0.02, iterations: int = 3,
) -> Tensor:  # fmt: skip
    """Return Spin's swapped prediction of two (frames, dim) of unit length; codes (codes, dim)."""
    dtype = torch.promote_types(codes.dtype, torch.float32)
    scores = [view.to(dtype) @ codes.to(dtype).T for view in (clean, perturbed)]  # (frames, codes)
    with torch.no_grad():
        targets = []
        for score in scores:
            weights = torch.exp((score - score.max()) / epsilon)
            for _ in range(iterations):
                weights = weights / weights.sum(0, keepdim=True) / weights.shape[1]
                weights = weights / weights.sum(1, keepdim=True) / weights.shape[0]
            targets.append(weights * weights.shape[0])
    swapped = zip(scores, reversed(targets), strict=True)
    return sum(cross_entropy(score / temperature, target) for score, target in swapped) / 2


def naive_rspin_step(
    model: RSpinModel, views: list[Tensor], labels: Tensor | None
) -> Callable[[], Tensor]:
    """Return the loss function of an R-Spin step on views (batch, samples), labels at 50 Hz."""

    def loss() -> Tensor:
        states = [model.base_model(view).last_hidden_state for view in views]
        clean, perturbed = (model.spin_head(one).flatten(0, 1) for one in states)
        total = naive_spin_loss(clean, perturbed, model.spin_head.codebook.unit_rows())
        if labels is not None:
            scores = [model.auxiliary_head(one).flatten(0, 1) for one in states]
            parts = [cross_entropy(score.float(), labels.flatten()) for score in scores]
            total = total + model.config.auxiliary_loss_weight * sum(parts) / 2
        return total

    return loss


def naive_soft_dtw(x: Tensor, y: Tensor, gamma: float = 0.1) -> Tensor:
    """Return soft-DTW of (batch, frames, dim): the recursion cell by cell, along diagonals."""
    costs = torch.cdist(x, y).square()  # (batch, rows, columns)
    batch, rows, columns = costs.shape
    infinite = costs.new_full((batch, rows + 1), torch.inf)
    before = torch.cat([costs.new_zeros(batch, 1), infinite[:, 1:]], 1)  # diagonal 0
    last = infinite
    for diagonal in range(2, rows + columns + 1):
        first, final = max(1, diagonal - columns), min(rows, diagonal - 1)
        row = torch.arange(first, final + 1, device=x.device)
        cost = costs[:, row - 1, diagonal - row - 1]
        before, last = last, _next(before, last, cost, row, gamma, infinite)
    return last[:, rows]


def _next(before: Tensor, last: Tensor, cost: Tensor, row: Tensor, gamma: float, infinite: Tensor):
    steps = torch.stack([before[:, row - 1], last[:, row - 1], last[:, row]])
    best = cost - gamma * torch.logsumexp(-steps / gamma, 0)
    return infinite.index_copy(1, row, best)
