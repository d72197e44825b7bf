"""LoRA on speech encoders, by peft (arXiv 2106.09685), WavLM's attention among them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel, WavLMModel

from hf_rspin.models.attention import use_sdpa_attention
from hf_rspin.models.encoder import FAMILIES, family_of


def add_lora(
    model: PreTrainedModel,
    rank: int = 8,
    alpha: float = 16.0,
    dropout: float = 0.0,
    targets: Sequence[str] | None = None,
    feed_forward: bool = False,
    layers: Sequence[int] | None = None,
    heads: Sequence[str] = (),
) -> PeftModel:
    """Freeze a model and add low-rank updates to its linear layers; starts as the model was.

    Stock WavLM hands the raw weights of its projections to a function and never calls the layers
    that LoRA puts in their place: here its attention is replaced by an equal one that does.

    Args:
        model: an encoder of `hf_rspin.models.encoder.FAMILIES`, with or without heads.
        rank: r of the update B A.
        alpha: the update is scaled by alpha / r.
        dropout: on the input of the update.
        targets: names of linear layers; None for q, k, v and output of attention.
        feed_forward: also the feed-forward blocks; with `targets` None.
        layers: transformer layers to adapt, counted from 0; None for all.
        heads: modules to train whole and to save beside.

    Raises:
        ValueError: an unknown type of encoder without `targets`, or targets that are not there.
    """
    targets = list(targets) if targets else lora_targets(model.config, feed_forward)
    _check_targets(model, targets)
    make_lora_work(model)
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=dropout,
        target_modules=targets,
        layers_to_transform=None if layers is None else list(layers),
        layers_pattern=None if layers is None else _list_of_layers(model.config),
        modules_to_save=list(heads) or None,
    )
    adapted = get_peft_model(model, config)
    # where a CTC head has other classes, peft would look for embeddings of words to save
    adapted.save_pretrained = partial(adapted.save_pretrained, save_embedding_layers=False)
    return adapted


def lora_targets(config: PreTrainedConfig | str, feed_forward: bool = False) -> list[str]:
    """Return the names of the linear layers that LoRA adapts: peft has no defaults for speech.

    Args:
        config: of the encoder, or its `model_type`.
        feed_forward: also those of the feed-forward blocks.

    Raises:
        ValueError: an encoder whose layers are not known here.
    """
    model_type = config if isinstance(config, str) else config.model_type
    if model_type not in FAMILIES:
        raise ValueError(
            f"no LoRA targets are known for a {model_type!r} model; expected one of "
            f"{', '.join(FAMILIES)}: name the linear layers yourself."
        )
    family = FAMILIES[model_type]
    return [*family.attention, *(family.feed_forward if feed_forward else ())]


def _list_of_layers(config: PreTrainedConfig) -> str:
    """Return how the list of layers is called in the encoder."""
    return family_of(config).layers.rpartition(".")[2]


def _check_targets(model: PreTrainedModel, targets: Sequence[str]) -> None:
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    for target in targets:
        if not any(name == target or name.endswith(f".{target}") for name in linear):
            known = sorted({name.rpartition(".")[2] for name in linear})
            raise ValueError(
                f"LoRA cannot adapt {target!r}: no linear layer has this name; expected names such "
                f"as {', '.join(known)}."
            )


def make_lora_work(model: PreTrainedModel) -> None:
    """Prepare a model for LoRA in place, and freeze its front end; equal outputs, same weights.

    Stock attention that bypasses LoRA is replaced. The convolutions are told that they are frozen:
    else they ask for a gradient of the waveform, and keep most of the memory of a step for it.
    """
    for module in model.modules():
        if isinstance(module, WavLMModel):
            use_sdpa_attention(module)
    front_end = dict(model.base_model.named_children()).get("feature_extractor")
    if front_end is not None:
        front_end._freeze_parameters()


def merge_lora(model: PeftModel) -> PreTrainedModel:
    """Add the updates to the weights and return the model without peft; it is changed in place.

    What comes back is of the class that was adapted, with trained heads and the same outputs.

    Raises:
        ValueError: an adapter of another kind, such as READ.
    """
    kind = model.peft_config[model.active_adapter].peft_type
    if kind != "LORA":
        raise ValueError(f"the adapter is {str(kind)}; expected LoRA, the only one that merges.")
    return model.merge_and_unload()
