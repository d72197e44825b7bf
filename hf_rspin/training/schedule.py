"""The paper's optimisation: plain Adam, and a learning rate that rises and falls linearly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from transformers import TrainingArguments

from hf_rspin.adapters import adapted_model

HEADS = "heads"  # marks their group of parameters


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
    """Return a scheduler that follows `learning_rate` with the optimiser's rate as the peak.

    Heads with a rate of their own (`HEADS`) need no warm-up: the encoder waits for them in its own.
    """

    def factor_of(group: dict[str, Any]) -> Callable[[int], float]:
        peak, rise = group["lr"], 0 if group.get(HEADS) else warmup
        return lambda step: learning_rate(step, peak, minimum, rise, total) / peak

    return LambdaLR(optimizer, [factor_of(group) for group in optimizer.param_groups])


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
        "params": _groups(model, args),
        "lr": args.learning_rate,
        "betas": (args.adam_beta1, args.adam_beta2),
        "eps": args.adam_epsilon,
        "weight_decay": args.weight_decay,
        "fused": fused,
    }


def _groups(model: torch.nn.Module, args: TrainingArguments) -> Iterator[Any]:
    """Yield what trains, as it is at the first step; heads apart where they have their own rate."""
    if args.head_learning_rate is None:
        yield from (p for p in model.parameters() if p.requires_grad)
        return
    inner = adapted_model(model)
    heads = {id(p) for n, p in inner.named_parameters() if n.startswith(tuple(inner.head_names))}
    groups: dict[bool, list] = {False: [], True: []}
    for parameter in model.parameters():
        if parameter.requires_grad:
            groups[id(parameter) in heads].append(parameter)
    rates = {False: args.learning_rate, True: args.head_learning_rate}
    yield from ({"params": group, "lr": rates[is_head], HEADS: is_head}
                for is_head, group in groups.items() if group)  # fmt: skip
