"""Views through an encoder: the layers that heads read, and which frames are speech."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel


@dataclass
class EncodedView:
    """What is known of a batch of waveforms after the encoder; frames at 50 Hz.

    Attributes:
        last_hidden_state: (batch, frames, hidden).
        hidden_states: one (batch, frames, hidden) per layer and the encoder input, or None.
        attentions: one (batch, heads, frames, frames) per layer, or None.
        spin_input: (batch, frames, hidden), what the Spin head reads.
        auxiliary_input: (batch, frames, hidden), what the auxiliary head reads.
    """

    last_hidden_state: Tensor
    hidden_states: tuple[Tensor, ...] | None
    attentions: tuple[Tensor, ...] | None
    spin_input: Tensor
    auxiliary_input: Tensor

    def rows(self, start: int, stop: int) -> EncodedView:
        """Return the view of utterances `start` to `stop`."""

        def cut(value: Any) -> Any:
            if isinstance(value, tuple):
                return tuple(cut(item) for item in value)
            return None if value is None else value[start:stop]

        return EncodedView(*(cut(getattr(self, field.name)) for field in fields(self)))


def encode(
    encoder: PreTrainedModel,
    input_values: Tensor,
    attention_mask: Tensor | None,
    output_hidden_states: bool = False,
    output_attentions: bool = False,
) -> EncodedView:
    """Run `input_values` (batch, samples) through a plain encoder.

    Only the hidden states that a head reads are kept, unless all are asked for.
    """
    config = encoder.config
    layers = (config.spin_layer, config.auxiliary_layer)
    read = sorted({_from_start(layer, config) for layer in layers if not _is_last(layer, config)})
    output = encoder(
        input_values,
        attention_mask=attention_mask,
        output_hidden_states=True if output_hidden_states else read or False,
        output_attentions=output_attentions,
        return_dict=True,
    )
    spin_input, auxiliary_input = (
        output.last_hidden_state
        if _is_last(layer, config)
        else output.hidden_states[_from_start(layer, config)]
        for layer in layers
    )
    return EncodedView(
        output.last_hidden_state,
        output.hidden_states if output_hidden_states else None,
        output.attentions if output_attentions else None,
        spin_input,
        auxiliary_input,
    )


def encode_two(
    encoder: PreTrainedModel,
    views: tuple[Tensor, Tensor],
    masks: tuple[Tensor | None, Tensor | None],
    **options: bool,
) -> tuple[EncodedView, EncodedView]:
    """Encode two views (batch, samples) of the same utterances, as one batch where possible.

    No layer mixes utterances, so that one batch and two give the same; one is faster.
    """
    first, second = views
    if first.shape != second.shape:
        # `options` ask for what is handed on to the user, and that is of the first view only
        return encode(encoder, first, masks[0], **options), encode(encoder, second, masks[1])
    mask = None
    if masks[0] is not None or masks[1] is not None:
        ones = torch.ones_like(first, dtype=torch.long)
        mask = torch.cat([ones if m is None else m.to(torch.long) for m in masks])
    both = encode(encoder, torch.cat(views), mask, **options)
    return both.rows(0, len(first)), both.rows(len(first), 2 * len(first))


def frame_count(samples: Any, config: PreTrainedConfig) -> Any:
    """Return the number of frames of `samples` (an int or a long tensor), at least 0."""
    for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
        samples = (samples - kernel) // stride + 1
    return samples.clamp_min(0) if isinstance(samples, Tensor) else max(samples, 0)


def frame_mask(
    num_samples: int, attention_mask: Tensor | None, config: PreTrainedConfig
) -> Tensor | None:
    """Return (batch, frames) bool, True on frames without padding; None if there is no padding.

    Unlike the encoder's own mask, an utterance too short for one frame has none.
    """
    if attention_mask is None:
        return None
    frames = torch.arange(frame_count(num_samples, config), device=attention_mask.device)
    lengths = frame_count(attention_mask.sum(dim=-1).to(torch.long), config)  # (batch,)
    return frames[None, :] < lengths[:, None]


def _is_last(layer: int, config: PreTrainedConfig) -> bool:
    """Say whether a layer is the encoder's output, after the final norm if it has one."""
    return layer in (-1, config.num_hidden_layers)


def _from_start(layer: int, config: PreTrainedConfig) -> int:
    return layer % (config.num_hidden_layers + 1)
