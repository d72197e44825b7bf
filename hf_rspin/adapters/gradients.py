"""An adapter that nothing trains must not run for hours."""

from __future__ import annotations

import math

from peft import PeftModel
from torch import nn
from transformers import TrainerCallback, WavLMModel

from hf_rspin.models import WavLMSdpaAttention


class AdapterGradientError(RuntimeError):
    """An adapter that the loss does not reach; the message says why."""


def check_adapter_gradients(model: PeftModel, reached: set[str] | None = None) -> None:
    """Refuse an adapter of which a part has no effect; call it after a backward pass.

    Some tensors of a fresh adapter have a gradient of zero (the other factor of a product starts
    at zero): each must have a gradient, and each adapted layer one that is not zero.

    Args:
        model: after the backward pass.
        reached: names of tensors that had a gradient in earlier passes, where layers are dropped
            at random.

    Raises:
        AdapterGradientError: a tensor has no gradient, or all of a layer's are zero.
    """
    tensors = _adapter_tensors(model)
    lost = _without_gradient(tensors) - (reached or set())
    if tensors and not lost:
        return
    if reached is None and len(lost) < len(tensors) and _layer_drop(model) > 0:
        return  # a layer without gradient may have been dropped
    kind = str(model.peft_config[model.active_adapter].peft_type).split(".")[-1]
    count = "none" if len(lost) == len(tensors) else f"{len(lost)}"
    few = f", such as {min(lost)}, got no" if 0 < len(lost) < len(tensors) else " got a"
    raise AdapterGradientError(
        f"{count} of the {len(tensors)} trainable tensors of the {kind} adapter{few} gradient: "
        f"training would change nothing there. {_reason(model, list(tensors.values()))}"
    )


def _adapter_tensors(model: PeftModel) -> dict[str, nn.Parameter]:
    prefix = model.base_model.prefix
    return {n: p for n, p in model.named_parameters() if prefix in n and p.requires_grad}


def _without_gradient(tensors: dict[str, nn.Parameter]) -> set[str]:
    """Return the names of tensors without gradient, or in a layer whose gradients are all zero."""
    layers: dict[str, list[str]] = {}
    for name in tensors:
        layers.setdefault(_layer_of(name), []).append(name)
    lost = {name for name, tensor in tensors.items() if tensor.grad is None}
    for names in layers.values():
        if not any(n not in lost and bool(tensors[n].grad.any()) for n in names):
            lost |= set(names)
    return lost


def _layer_drop(model: PeftModel) -> float:
    return float(model.get_base_model().config.to_dict().get("layerdrop") or 0)


def _layer_of(name: str) -> str:
    """Return the adapted layer that holds a tensor of LoRA; READ is one layer as a whole."""
    return name.partition(".lora_")[0] if ".lora_" in name else ""


def _reason(model: PeftModel, parameters: list[nn.Parameter]) -> str:
    if not parameters:
        return "The adapter is frozen: load it with is_trainable=True."
    for module in model.modules():
        if isinstance(module, WavLMModel):
            attention = module.encoder.layers[0].attention
            if not isinstance(attention, WavLMSdpaAttention):
                return (
                    "Stock WavLM attention bypasses LoRA: use hf_rspin.adapters.add_lora, or call "
                    "make_lora_work(model) before get_peft_model."
                )
    return (
        "The loss does not depend on it: do its heads read a layer below the adapter (spin_layer, "
        "auxiliary_layer), does the forward bypass the adapted layers, or is activation "
        "checkpointing reentrant (then set use_reentrant to false)?"
    )


class AdapterGradientCheck(TrainerCallback):
    """Runs `check_adapter_gradients` before the first update of a run, resumed or not.

    Where the encoder drops layers at random, tensors may wait a few updates for their gradient.
    """

    def __init__(self) -> None:
        self.updates_left = 1
        self.reached: set[str] = set()

    def on_train_begin(self, args, state, control, model=None, **kwargs) -> None:
        """Check again in every run."""
        self.reached, self.updates_left = set(), 1
        if isinstance(model, PeftModel):
            drop = _layer_drop(model)
            if 0 < drop < 1:  # until a layer that trains has been dropped every time with 1e-9
                self.updates_left = 1 + math.ceil(math.log(1e-9) / math.log(drop))

    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs) -> None:
        """Check, once all micro-batches of an update were differentiated."""
        if self.updates_left == 0 or not isinstance(model, PeftModel):
            return
        tensors = _adapter_tensors(model)
        lost = _without_gradient(tensors)
        self.reached |= set(tensors) - lost
        self.updates_left -= 1
        if self.reached == set(tensors) and tensors:
            self.updates_left = 0
        elif self.updates_left == 0 or not self.reached:
            check_adapter_gradients(model, self.reached)
