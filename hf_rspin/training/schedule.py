"""The learning rate of the paper: linear from a small value to the peak and back to it."""

from __future__ import annotations

import torch
from torch.optim.lr_scheduler import LambdaLR


def learning_rate(step: int, peak: float, minimum: float, warmup: int, total: int) -> float:
    """Return the learning rate of update `step` (from 0).

    Update 0 uses `minimum`, update `warmup` uses `peak`, the last one (`total - 1`) `minimum`
    again: 1e-6 -> 1e-4 -> 1e-6 in the paper.
    """
    if step < warmup:
        return minimum + (peak - minimum) * step / warmup
    decay = max(1, total - 1 - warmup)
    return peak - (peak - minimum) * min(1.0, (step - warmup) / decay)


def rise_and_fall(
    optimizer: torch.optim.Optimizer, minimum: float, warmup: int, total: int
) -> LambdaLR:
    """Return a scheduler that follows `learning_rate` with the optimiser's rate as the peak."""
    peak = optimizer.param_groups[0]["lr"]

    def factor(step: int) -> float:
        return learning_rate(step, peak, minimum, warmup, total) / peak

    return LambdaLR(optimizer, factor)
