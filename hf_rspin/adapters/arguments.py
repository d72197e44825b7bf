"""What a training script is told about adapters."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from peft import PeftModel, get_peft_model
from transformers import PreTrainedModel

from hf_rspin.adapter_options import AdapterOptions
from hf_rspin.adapters.lora import add_lora
from hf_rspin.adapters.read import ReadConfig
from hf_rspin.models.base import EncoderWithHeads

logger = logging.getLogger(__name__)


@dataclass
class AdapterArguments(AdapterOptions):
    """Train everything, or an adapter on a frozen encoder.

    Raises:
        ValueError: an unknown adapter, or a `lora_alpha` with which it has no effect.
    """

    def wrap(
        self,
        model: PreTrainedModel,
        heads: Sequence[str] | None = None,
        num_trainable_layers: int | None = None,
    ) -> PreTrainedModel | PeftModel:
        """Return the model, with `adapter` a peft model in which only adapter and heads train.

        Args:
            model: an encoder, with or without heads.
            heads: modules that train whole; None for all outside the encoder that have a loss.
            num_trainable_layers: LoRA adapts as many top layers, and the layers below run without
                gradients where the model can do so; None for all.

        Raises:
            ValueError: an encoder that the adapter does not know, or more layers than there are.
        """
        if self.adapter == "none":
            return model
        heads = trained_heads(model) if heads is None else list(heads)
        if self.adapter == "lora":
            adapted = self._add_lora(model, heads, num_trainable_layers)
        else:
            if num_trainable_layers is not None:
                logger.info("READ leaves all layers frozen: num_trainable_layers is not used.")
            config = ReadConfig(
                width=self.read_width,
                scale=self.read_scale,
                reduction=self.read_reduction,
                modules_to_save=heads or None,
            )
            adapted = get_peft_model(model, config)
        trainable, total = adapted.get_nb_trainable_parameters()
        logger.info("%s: %d of %d parameters train.", self.adapter, trainable, total)
        return adapted

    def _add_lora(
        self, model: PreTrainedModel, heads: list[str], num_trainable_layers: int | None
    ) -> PeftModel:
        layers, count = None, model.config.num_hidden_layers
        # above what the loss reads an adapter would never get a gradient
        top = model.highest_layer_read() if isinstance(model, EncoderWithHeads) else count
        if top < count:
            layers = range(top)
        if num_trainable_layers is not None:
            if not 1 <= num_trainable_layers <= count:
                raise ValueError(
                    f"num_trainable_layers is {num_trainable_layers}; expected 1 to {count}."
                )
            layers = range(count - num_trainable_layers, top)
            if not layers:
                raise ValueError(
                    f"num_trainable_layers is {num_trainable_layers}, but the loss reads layer "
                    f"{top} of {count}: expected more, or a loss that reads a higher layer."
                )
            if isinstance(model, EncoderWithHeads):
                model.num_frozen_layers = count - num_trainable_layers
        return add_lora(
            model,
            self.lora_rank,
            self.lora_alpha,
            self.lora_dropout,
            self.lora_targets,
            self.lora_feed_forward,
            layers,
            heads,
        )


def trained_heads(model: PreTrainedModel) -> list[str]:
    """Return the names of the modules beside the encoder that a loss trains."""
    return [name for name, trains in _heads(model).items() if trains]


def untrained_heads(model: PeftModel) -> list[str]:
    """Return the names of heads that neither train nor are saved with the adapter."""
    return [name for name, trains in _heads(model.get_base_model()).items() if not trains]


def _heads(model: PreTrainedModel) -> dict[str, bool]:
    """Return whether each module beside the encoder that has parameters trains, by name."""
    children = {} if model.base_model is model else dict(model.named_children())
    flags = {
        name: [parameter.requires_grad for parameter in module.parameters()]
        for name, module in children.items()
        if module is not model.base_model
    }
    return {name: any(found) for name, found in flags.items() if found}
