"""HuBERT with SummaryMixing in place of self-attention, and the conversion of a HuBERT to it."""

# no postponed annotations here: @strict checks types, and cannot read them from strings
from typing import Any

from huggingface_hub.dataclasses import strict
from torch import Tensor, nn
from transformers import (
    AttentionInterface,
    AttentionMaskInterface,
    HubertConfig,
    HubertForCTC,
    HubertModel,
)

from hf_rspin.models.backbones.summary_mixing import SummaryMixing, check_mixing
from hf_rspin.models.own_types import TravellingEncoder, register_type

NAME = "summary_mixing"  # in place of an attention; in the config of a built encoder, never saved


@strict
class SummaryMixingHubertConfig(HubertConfig):
    """The config of a HuBERT with SummaryMixing in place of self-attention.

    `num_attention_heads` and `attention_dropout` say nothing here.

    Attributes:
        mixing: full, or lite; see `SummaryMixing`.
        mixing_heads: groups of channels in the networks of the mixing.
        mixing_dropout: on what the mixing combines.
    """

    model_type = "summary-mixing-hubert"

    mixing: str = "full"
    mixing_heads: int = 1
    mixing_dropout: float | int = 0.1

    def validate_mixing(self) -> None:
        """Refuse what cannot be built; called when a config is made."""
        check_mixing(self.mixing, self.mixing_heads, (self.hidden_size,))
        if not 0 <= self.mixing_dropout < 1:
            raise ValueError(
                f"mixing_dropout is {self.mixing_dropout}; expected a probability below 1."
            )


class SummaryMixingLayer(SummaryMixing):
    """SummaryMixing with the arguments and results of HuBERT's attention."""

    def __init__(self, config: SummaryMixingHubertConfig):
        super().__init__(
            config.hidden_size, config.mixing, config.mixing_heads, config.mixing_dropout
        )

    def forward(
        self, hidden_states: Tensor, attention_mask: Tensor | None = None, **kwargs: Any
    ) -> tuple[Tensor, None]:
        """Mix (batch, frames, hidden) under a mask (batch, frames); there are no maps to return."""
        return super().forward(hidden_states, attention_mask), None


class SummaryMixingHubertModel(TravellingEncoder, HubertModel):
    """HuBERT with SummaryMixing in place of self-attention (arXiv 2407.13377).

    Its time and memory grow with the length of the audio, not with its square. Everything else is
    HuBERT's, and has HuBERT's names; in the layers, `attention` is a `SummaryMixing`.

    Example:
        >>> small = SummaryMixingHubertConfig(mixing="lite", hidden_size=192, intermediate_size=64)
        >>> encoder = SummaryMixingHubertModel(small).eval()
        >>> encoder(torch.randn(1, 16000)).last_hidden_state.shape  # (batch, frames, hidden)
        torch.Size([1, 49, 192])
    """

    config: SummaryMixingHubertConfig
    _can_record_outputs = {"hidden_states": HubertModel._can_record_outputs["hidden_states"]}

    def __init__(self, config: SummaryMixingHubertConfig):
        super().__init__(config)
        for layer in self.encoder.layers:
            layer.attention = SummaryMixingLayer(config)
        self.set_attn_implementation(NAME)
        self.post_init()

    def set_attn_implementation(self, attn_implementation: Any, **kwargs: Any) -> None:
        """Keep the mixing, whatever attention is asked for: there is none."""
        super().set_attn_implementation(NAME, **kwargs)


class SummaryMixingHubertForCTC(TravellingEncoder, HubertForCTC):
    """`SummaryMixingHubertModel` with a CTC head, as `HubertForCTC`."""

    config: SummaryMixingHubertConfig

    def __init__(self, config: SummaryMixingHubertConfig, target_lang: str | None = None):
        super().__init__(config, target_lang)
        self.hubert = SummaryMixingHubertModel(config)
        self.post_init()


def convert_attention(
    encoder: HubertModel, mixing: str = "full", heads: int = 1, dropout: float = 0.1
) -> SummaryMixingHubertModel:
    """Return a HuBERT with fresh SummaryMixing in place of its attention, all else copied.

    To be trained before use: distil the original into it, as
    `hf-rspin train --objective distill --teacher ORIGINAL --student FOLDER` does.

    Args:
        encoder: a plain HuBERT; stays as it is.
        mixing: full or lite.
        heads: groups of channels in the networks of the mixing.
        dropout: on what the mixing combines.

    Raises:
        ValueError: another encoder than a HuBERT, one with adapters, or a mixing that cannot be
            built.
    """
    if type(encoder) is not HubertModel:
        raise ValueError(
            f"got a {type(encoder).__name__}; expected a plain HubertModel, whose attention is "
            "replaced: load the folder of a HuBERT with hf_rspin.load_encoder."
        )
    if getattr(encoder.config, "adapter_attn_dim", None):
        raise ValueError(
            f"the encoder has adapter_attn_dim {encoder.config.adapter_attn_dim}, adapters behind "
            "its attention; expected a HuBERT without."
        )
    if any(".base_layer." in name for name in encoder.state_dict()):
        raise ValueError(
            "the encoder has an adapter of peft; expected plain weights: merge it first "
            "(LoRA: hf_rspin.adapters.merge_lora), or load the encoder without it."
        )
    known = HubertConfig.__dataclass_fields__.keys() - {"model_type", "architectures", "dtype"}
    content = {name: value for name, value in encoder.config.to_dict().items() if name in known}
    config = SummaryMixingHubertConfig(
        **content, mixing=mixing, mixing_heads=heads, mixing_dropout=dropout
    )
    model = SummaryMixingHubertModel(config).to(encoder.device, encoder.dtype)
    kept = {n: value for n, value in encoder.state_dict().items() if ".attention." not in n}
    model.load_state_dict(model.state_dict() | kept)
    return model.train(encoder.training)


def valid_frames(*args: Any, attention_mask: Tensor | None = None, **kwargs: Any) -> Tensor | None:
    """Return the mask (batch, frames) as it is, where attention would make one of pairs."""
    return attention_mask


def no_attention(module: nn.Module, *args: Any, **kwargs: Any) -> None:
    """Stand for an attention that is never called, so that its name can be chosen."""
    raise RuntimeError(f"{type(module).__name__} asked for attention; expected SummaryMixing.")


AttentionMaskInterface.register(NAME, valid_frames)
AttentionInterface.register(NAME, no_attention)
register_type(SummaryMixingHubertConfig, SummaryMixingHubertModel, SummaryMixingHubertForCTC)
