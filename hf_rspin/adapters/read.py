"""READ as a method of peft: a side network on a frozen encoder (arXiv 2305.15348).

    model = get_peft_model(HubertModel.from_pretrained(folder), ReadConfig(width=128))

The backbone runs without gradients and its hidden states are constants for the side network: no
activation of the backbone is kept for a backward pass, which is where the memory goes otherwise.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from typing import Any

import torch
from peft import PeftConfig
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutput

from hf_rspin.adapters.peft_registration import register
from hf_rspin.adapters.side_network import SideNetwork
from hf_rspin.models.backbones.mr_hubert_encoder import MRHubertEncoder
from hf_rspin.utils import option

READ = "READ"
REDUCTIONS = ("mean", "last")


@dataclass
class ReadConfig(PeftConfig):
    """How READ is built, for the encoders of `hf_rspin.models.encoder.FAMILIES`.

    In SEW-D it corrects the states between pooling and upsampling, 25 frames per second; in
    MR-HuBERT the last state, at 50, from layers whose states are repeated to that rate.

    Attributes:
        width: size of the recurrent state; 64, 128 and 256 have 0.21M, 0.45M and 0.99M parameters
            at hidden size 768.
        scale: factor of the correction.
        reduction: what the correction is made of: the "mean" over the layers, or the "last" state.
        target_modules: name of the transformer stack in the model.
        modules_to_save: names of heads to train and save beside.

    Raises:
        ValueError: a value that cannot be meant.
    """

    width: int = option(128, "size of the recurrent state")
    scale: float = option(1.0, "factor of the correction")
    reduction: str = option("mean", "mean or last")
    target_modules: list[str] | str | None = option(
        None, "name of the transformer stack; none: encoder"
    )
    exclude_modules: list[str] | str | None = option(None, "stacks to leave alone")
    modules_to_save: list[str] | None = option(None, "heads to train and save beside")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = READ
        if isinstance(self.width, bool) or not isinstance(self.width, int) or self.width < 1:
            raise ValueError(f"width is {self.width}; expected an integer of at least 1.")
        if not 0 < self.scale < math.inf:
            raise ValueError(f"scale is {self.scale}; expected a number above 0.")
        if self.reduction not in REDUCTIONS:
            raise ValueError(f"reduction is {self.reduction!r}; expected mean or last.")
        if self.target_modules is None:
            self.target_modules = ["encoder"]


class ReadEncoder(nn.Module, BaseTunerLayer):
    """A transformer stack that runs frozen, and the side networks that correct its output.

    `hidden_states` that the model around it returns stay those of the backbone; the corrected
    output is `last_hidden_state`.
    """

    adapter_layer_names = ("read_network",)
    other_param_names = ("scale",)

    def __init__(
        self, base_layer: nn.Module, adapter_name: str, config: ReadConfig, hidden_size: int
    ):
        super().__init__()
        self.base_layer, self.hidden_size = base_layer, hidden_size
        self.read_network = nn.ModuleDict()
        self.scale: dict[str, float] = {}
        self.merged_adapters = []
        self.add(adapter_name, config)

    def add(self, adapter_name: str, config: ReadConfig) -> None:
        """Add a side network and make it the active one."""
        network = SideNetwork(self.hidden_size, config.width, config.reduction)
        # under peft's low_cpu_mem_usage everything is made on the meta device and loaded later
        on_meta = network.norm.weight.device.type == "meta"
        device = next(self.base_layer.parameters()).device
        self.read_network[adapter_name] = network if on_meta else network.to(device)
        self.scale[adapter_name] = config.scale
        self.set_adapter(adapter_name, inference_mode=config.inference_mode)

    def train(self, mode: bool = True) -> nn.Module:
        """Set the training mode of the side networks; the backbone stays in eval mode."""
        super().train(mode)
        self.base_layer.eval()
        return self

    def forward(self, hidden_states: Tensor, *args: Any, **kwargs: Any) -> BaseModelOutput:
        """Run the stack on `hidden_states` (batch, frames, dim), then add the corrections."""
        if self.disable_adapters:
            with torch.no_grad():
                return self.base_layer(hidden_states, *args, **kwargs)
        layers, output = self._run(hidden_states, *args, **kwargs)
        for name in self.active_adapters:
            correction = self.read_network[name](layers)
            last = output.last_hidden_state + self.scale[name] * correction
            output.last_hidden_state = last
        return output

    @torch.no_grad()
    def _run(
        self, hidden_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[list[Tensor], BaseModelOutput]:
        """Return the input of the first layer and the output of all, and that of the stack."""
        layers: list[Tensor] = []
        caller = threading.get_ident()

        def note(state: Tensor | tuple[Tensor, ...]) -> None:
            # other threads that run the stack at the same time call these hooks as well
            if threading.get_ident() == caller:
                layers.append(state[0] if isinstance(state, tuple) else state)

        stack = _layers(self.base_layer)
        handles = [stack[0].register_forward_pre_hook(lambda module, inputs: note(inputs))]
        handles += [
            layer.register_forward_hook(lambda module, inputs, output: note(output))
            for layer in stack
        ]
        try:
            output = self.base_layer(hidden_states, *args, **kwargs)
        finally:
            for handle in handles:
                handle.remove()
        if isinstance(self.base_layer, MRHubertEncoder):
            layers = self.base_layer.at_50_hz(layers)
        return layers, output

    def __getattr__(self, name: str) -> Any:
        """Look up what is not here in the stack, such as its `layers`."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "base_layer":
                raise
            return getattr(self.base_layer, name)


class ReadModel(BaseTuner):
    """Puts a `ReadEncoder` in the place of the transformer stack; used by `get_peft_model`."""

    prefix = "read_"
    tuner_layer_cls = ReadEncoder
    target_module_mapping: dict[str, list[str]] = {}

    def _create_and_replace(
        self,
        peft_config: ReadConfig,
        adapter_name: str,
        target: nn.Module,
        target_name: str,
        parent: nn.Module,
        current_key: str,
        parameter_name: str | None = None,
    ) -> None:
        if isinstance(target, ReadEncoder):
            target.add(adapter_name, peft_config)
            if adapter_name not in self.active_adapters:
                target.set_adapter(self.active_adapters)
            return
        if _layers(target) is None and _layers(getattr(target, "encoder", None)) is not None:
            return  # SEW-D's stack lies one deeper, between pooling and upsampling
        _check_stack(target, current_key)
        encoder = ReadEncoder(target, adapter_name, peft_config, self.model.config.hidden_size)
        self._replace_module(parent, target_name, encoder, target)

    def _replace_module(
        self, parent: nn.Module, child_name: str, new_module: nn.Module, child: nn.Module
    ) -> None:
        setattr(parent, child_name, new_module)

    def _check_merge_allowed(self) -> None:
        raise ValueError(
            "READ cannot be merged: its side network is recurrent; save the adapter and load it "
            "with PeftModel.from_pretrained."
        )

    def get_input_embeddings(self) -> None:
        """Return None: where a head has other classes, peft would save embeddings of words."""

    get_output_embeddings = get_input_embeddings

    def train(self, mode: bool = True) -> nn.Module:
        """Set the training mode of heads and side networks; the encoder stays in eval mode."""
        super().train(mode)
        for module in list(self.model.modules()):
            for child in module.children():
                if isinstance(child, ReadEncoder):
                    module.eval()  # no dropout, no masking, no graph of the front end
                    child.train(mode)
        return self


def _layers(stack: nn.Module | None) -> nn.ModuleList | None:
    """Return the layers of a transformer stack; None where it has none of its own."""
    children = dict(stack.named_children()) if stack is not None else {}
    found = children.get("layers", children.get("layer"))
    return found if isinstance(found, nn.ModuleList) else None


def _check_stack(stack: nn.Module, name: str) -> None:
    """Refuse what is no stack of layers at one frame rate.

    Raises:
        ValueError: READ does not know how to run it.
    """
    if _layers(stack) is None or {"upsample", "pool"} & set(dict(stack.named_children())):
        raise ValueError(
            f"{name} is a {type(stack).__name__}, which READ cannot run; expected the transformer "
            "stack of a speech encoder: use LoRA for others."
        )


register(READ, ReadConfig, ReadModel)
