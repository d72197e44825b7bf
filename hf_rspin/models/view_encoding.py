"""Views through an encoder: checks of the input, and the layers that heads read."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel

from hf_rspin.models.encoder import num_output_frames, spread_over_frames


@dataclass
class EncoderOutput:
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

    def rows(self, start: int, stop: int) -> EncoderOutput:
        """Return the view of utterances `start` to `stop`."""

        def cut(value: Any) -> Any:
            if isinstance(value, tuple):
                return tuple(cut(item) for item in value)
            return None if value is None else value[start:stop]

        return EncoderOutput(*(cut(getattr(self, field.name)) for field in fields(self)))


def check_waveforms(
    waveforms: Tensor,
    attention_mask: Tensor | None,
    config: PreTrainedConfig,
    dtype: torch.dtype | None = None,
) -> None:
    """Refuse waveforms and masks that an encoder would misread.

    Args:
        waveforms: (batch, samples) floats at 16 kHz.
        attention_mask: (batch, samples), 1 on samples, 0 on padding at the end; or None.
        config: of the encoder.
        dtype: of its weights, if known.

    Raises:
        TypeError: waveforms that are no tensor of floats, or float64 for weights of less; a mask
            that is no tensor.
        ValueError: another shape, no utterance, less than one frame, NaN or infinite samples, or a
            mask that is not ones, then zeros.
    """
    if not isinstance(waveforms, Tensor) or not waveforms.is_floating_point():
        got = waveforms.dtype if isinstance(waveforms, Tensor) else type(waveforms).__name__
        raise TypeError(
            f"input_values are {got}; expected a floating torch tensor (batch, samples) at 16 kHz: "
            "convert them, 16-bit integers divided by 32768."
        )
    if waveforms.dtype == torch.float64 and dtype not in (None, torch.float64):
        raise TypeError(
            f"input_values are torch.float64; expected {dtype}, as the weights: convert them with "
            f".to({dtype})."
        )
    has_frames = waveforms.ndim == 2 and num_output_frames(waveforms.shape[-1], config) > 0
    if not has_frames or len(waveforms) == 0:
        least = next(n for n in range(1, 1 << 20) if num_output_frames(n, config))
        raise ValueError(
            f"input_values have shape {tuple(waveforms.shape)}; expected (batch, samples) with at "
            f"least {least} samples, one frame."
        )
    # a comparison of values waits for the device, which a compiled graph should not
    if not torch.compiler.is_compiling() and not torch.isfinite(waveforms).all():
        raise ValueError(
            "input_values hold NaN or infinite samples, whose units would mean nothing; expected "
            "finite numbers: look at the audio."
        )
    if attention_mask is None:
        return
    if not isinstance(attention_mask, Tensor):
        raise TypeError(
            f"attention_mask is {type(attention_mask).__name__}; expected a torch tensor of 0 and "
            "1 of the shape of input_values."
        )
    if attention_mask.shape != waveforms.shape:
        raise ValueError(
            f"attention_mask has shape {tuple(attention_mask.shape)}; expected that of "
            f"input_values, {tuple(waveforms.shape)}: one value per sample."
        )
    mask = attention_mask.to(torch.int8) if attention_mask.dtype == torch.bool else attention_mask
    binary = ((mask == 0) | (mask == 1)).all()
    # ones first: the mask never rises
    if not (binary & (mask[:, 1:] <= mask[:, :-1]).all()):
        raise ValueError(
            "attention_mask is not 1 on samples, then 0 on padding; expected ones first and zeros "
            "at the end of each row: pad on the right, and mark samples with 1."
        )


def encode(
    encoder: PreTrainedModel,
    input_values: Tensor,
    attention_mask: Tensor | None,
    output_hidden_states: bool = False,
    output_attentions: bool = False,
) -> EncoderOutput:
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
    last = output.last_hidden_state
    spin_input, auxiliary_input = (
        last
        if _is_last(layer, config)
        else spread_over_frames(
            output.hidden_states[_from_start(layer, config)], last.shape[1], config
        )
        for layer in layers
    )
    return EncoderOutput(
        last,
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
) -> tuple[EncoderOutput, EncoderOutput]:
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


def _is_last(layer: int, config: PreTrainedConfig) -> bool:
    """Say whether a layer is the encoder's output, after the final norm if it has one."""
    return layer in (-1, config.num_hidden_layers)


def _from_start(layer: int, config: PreTrainedConfig) -> int:
    return layer % (config.num_hidden_layers + 1)
