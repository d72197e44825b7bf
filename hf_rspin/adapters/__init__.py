"""Adapters on a frozen encoder: LoRA, and READ as a method of peft."""

from hf_rspin.adapters.arguments import AdapterArguments, trained_heads, untrained_heads
from hf_rspin.adapters.gradients import AdapterGradientCheck, check_adapter_gradients
from hf_rspin.adapters.loading import (
    adapted_model,
    is_adapter,
    load_adapted,
    save_config,
)
from hf_rspin.adapters.lora import add_lora, lora_targets, make_lora_work, merge_lora
from hf_rspin.adapters.read import ReadConfig

__all__ = [
    "AdapterArguments",
    "AdapterGradientCheck",
    "ReadConfig",
    "adapted_model",
    "add_lora",
    "check_adapter_gradients",
    "is_adapter",
    "load_adapted",
    "lora_targets",
    "make_lora_work",
    "merge_lora",
    "save_config",
    "trained_heads",
    "untrained_heads",
]
