"""An encoder run in two parts: what lies below a layer, and the layers from there on.

The stock forward runs from waveform to output in one go. Where the lower layers are frozen, their
output is wanted once, for a teacher and a student or for a cache; the parts together give what the
stock forward gives without layer drop and masking.
"""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.masking_utils import create_bidirectional_mask

from hf_rspin.models.encoder import (
    averages_over_time,
    frame_mask,
    layers_of,
    norm_is_last,
    norm_of,
    num_output_frames,
)


def run_below(
    model: PreTrainedModel, input_values: Tensor, attention_mask: Tensor | None, stop: int
) -> Tensor:
    """Return the output of the first `stop` layers, (batch, frames, hidden), without gradients.

    A front end with one group norm (the base models) averages over time and would count padding:
    there, utterances of unequal length run one by one, and each gives what it gives alone.

    Args:
        model: an encoder whose family `splits`; WavLM with `WavLMSdpaAttention`.
        input_values: (batch, samples) at 16 kHz.
        attention_mask: (batch, samples), 1 on samples, 0 on padding at the end; or None.
        stop: number of layers, 0 to all.
    """
    with torch.no_grad():
        counts_padding = averages_over_time(model.config)
        if attention_mask is None or bool(attention_mask.all()):
            return _below(model, input_values, None, stop)
        if not counts_padding:
            mask = frame_mask(input_values, attention_mask, model.config)
            return _below(model, input_values, mask, stop)
        lengths = attention_mask.sum(dim=-1).tolist()
        alone = [
            _below(model, row[None, :length], None, stop)[0]
            for row, length in zip(input_values, lengths, strict=True)
        ]
        return pad_states(alone, num_output_frames(input_values.shape[1], model.config))


def run_above(
    model: PreTrainedModel, states: Tensor, attention_mask: Tensor | None, start: int
) -> Tensor:
    """Return the encoder's output (batch, frames, hidden) from the states below layer `start`.

    Args:
        model: an encoder whose family `splits`; WavLM with `WavLMSdpaAttention`.
        states: (batch, frames, hidden), see `run_below`.
        attention_mask: (batch, frames) bool, True on valid frames; or None.
        start: number of layers that the states have gone through.
    """
    states = _layers(model, states, attention_mask, start, len(layers_of(model)))
    return norm_of(model)(states) if norm_is_last(model.config) else states


def pad_states(states: list[Tensor], frames: int) -> Tensor:
    """Return (batch, frames, hidden) of tensors (frames of each, hidden), zeros behind their end.

    Raises:
        ValueError: one has more than `frames` frames.
    """
    longest = max(len(state) for state in states)
    if longest > frames:
        raise ValueError(
            f"states have {longest} frames, expected at most {frames}, those of the waveforms: "
            "were they made from other audio?"
        )
    padded = states[0].new_zeros(len(states), frames, states[0].shape[-1])
    for row, state in zip(padded, states, strict=True):
        row[: len(state)] = state
    return padded


def _below(model: PreTrainedModel, waveforms: Tensor, mask: Tensor | None, stop: int) -> Tensor:
    states = model.feature_projection(model.feature_extractor(waveforms).transpose(1, 2))
    if isinstance(states, tuple):
        states = states[0]  # WavLM hands on what came in as well
    if mask is not None:
        states = states.masked_fill(~mask[..., None], 0)
    encoder = model.encoder
    states = states + encoder.pos_conv_embed(states)
    if not norm_is_last(model.config):
        states = encoder.layer_norm(states)
    return _layers(model, encoder.dropout(states), mask, 0, stop)


def _layers(
    model: PreTrainedModel, states: Tensor, mask: Tensor | None, start: int, stop: int
) -> Tensor:
    layers = layers_of(model)[start:stop]
    if model.config.model_type == "wavlm":
        bias = None
        if 0 < start < stop:  # layer 0 computes it of the number of frames, and hands it on
            frames = states.shape[1]
            bias = layers_of(model)[0].attention.compute_bias(frames, frames)[None]
        for layer in layers:
            states, bias = layer(states, attention_mask=mask, position_bias=bias)
        return states
    mask = create_bidirectional_mask(
        config=model.config, inputs_embeds=states, attention_mask=mask
    )
    for layer in layers:
        states = layer(states, attention_mask=mask)
    return states
