"""The paper's optimisation: plain Adam, and a learning rate that rises and falls linearly."""

from __future__ import annotations

from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
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


def follow_own_schedule(scheduler: LRScheduler) -> None:
    """Set the rates of a loaded `LambdaLR` to its own factors.

    A checkpoint holds the rate of the next update by the schedule it was saved with. Where the run
    is made longer or shorter that is another one; else nothing changes.
    """
    if not isinstance(scheduler, LambdaLR):
        return
    groups = scheduler.optimizer.param_groups
    for group, base, factor in zip(groups, scheduler.base_lrs, scheduler.lr_lambdas, strict=True):
        group["lr"] = base * factor(scheduler.last_epoch)
    scheduler._last_lr = [group["lr"] for group in groups]


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
