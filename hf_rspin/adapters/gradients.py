"""An adapter that nothing trains must not run for hours."""

from __future__ import annotations

from peft import PeftModel
from torch import nn
from transformers import TrainerCallback, WavLMModel

from hf_rspin.models import WavLMSdpaAttention


class AdapterGradientError(RuntimeError):
    """An adapter that the loss does not reach; the message says why."""


def check_adapter_gradients(model: PeftModel) -> None:
    """Refuse an adapter that has no effect; call it after the first backward pass.

    Some parameters of a fresh adapter have a gradient of zero (the other factor of a product starts
    at zero), but never all of them.

    Raises:
        AdapterGradientError: no parameter of the adapter has a gradient other than zero.
    """
    prefix = model.base_model.prefix
    parameters = [p for name, p in model.named_parameters() if prefix in name and p.requires_grad]
    if any(p.grad is not None and p.grad.any() for p in parameters):
        return
    kind = str(model.peft_config[model.active_adapter].peft_type).split(".")[-1]
    raise AdapterGradientError(
        f"none of the {len(parameters)} trainable tensors of the {kind} adapter got a gradient: "
        f"training would change nothing there. {_reason(model, parameters)}"
    )


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
    """Runs `check_adapter_gradients` before the first update of a run, resumed or not."""

    def __init__(self) -> None:
        self.done = False

    def on_train_begin(self, args, state, control, **kwargs) -> None:
        """Check again in every run."""
        self.done = False

    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs) -> None:
        """Check, once all micro-batches of the first update were differentiated."""
        if not self.done and isinstance(model, PeftModel):
            check_adapter_gradients(model)
        self.done = True
