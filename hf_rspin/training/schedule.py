"""The paper's optimisation: plain Adam, and a learning rate that rises and falls linearly."""

from __future__ import annotations

from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR
from transformers import TrainingArguments


def learning_rate(step: int, peak: float, minimum: float, warmup: int, total: int) -> float:
    """Return the learning rate of update `step` (from 0).

    Update 0 uses `minimum`, update `warmup` uses `peak`, the last one (`total - 1`) `minimum`
    again: 1e-6 -> 1e-4 -> 1e-6 in the paper.
    """
    if step < warmup:
        return minimum + (peak - minimum) * step / warmup
    decay = max(1, total - 1 - warmup)
    return peak - (peak - minimum) * min(1.0, (step - warmup) / decay)


def linear_warmup_and_decay(
    optimizer: torch.optim.Optimizer, minimum: float, warmup: int, total: int
) -> LambdaLR:
    """Return a scheduler that follows `learning_rate` with the optimiser's rate as the peak."""
    peak = optimizer.param_groups[0]["lr"]

    def factor(step: int) -> float:
        return learning_rate(step, peak, minimum, warmup, total) / peak

    return LambdaLR(optimizer, factor)


def adam_of_everything(
    model: torch.nn.Module, args: TrainingArguments
) -> tuple[type[torch.optim.Optimizer], dict[str, Any]]:
    """Return the authors' Adam over what trains, as `optimizer_cls_and_kwargs`.

    Its weight decay is added to the gradient of every parameter. The fused kernel makes the same
    update in a quarter of the time on a CPU.
    """
    fused = args.device.type in ("cpu", "cuda")
    return torch.optim.Adam, {
        "params": (p for p in model.parameters() if p.requires_grad),  # as it is at the first step
        "lr": args.learning_rate,
        "betas": (args.adam_beta1, args.adam_beta2),
        "eps": args.adam_epsilon,
        "weight_decay": args.weight_decay,
        "fused": fused,
    }
