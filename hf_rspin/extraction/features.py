"""Waveforms -> hidden states of chosen layers, one column for each."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel

from hf_rspin.audio import FRAME_SHIFT, SAMPLING_RATE
from hf_rspin.extraction.units import ROW_COLUMNS
from hf_rspin.models.encoder import (
    check_frame_rate,
    drop_layers_above,
    num_hidden_states,
    states_of_frames,
)
from hf_rspin.models.folders import resolve_encoder, wants_normalized
from hf_rspin.models.loading import load_encoder
from hf_rspin.models.whisper_encoder import WhisperFrames, is_whisper
from hf_rspin.units.recordings import can_pad, encode_recordings
from hf_rspin.utils import tensor_hash

logger = logging.getLogger(__name__)

LARGEST = {"float16": 65504.0, "float32": float("inf")}


class FeatureError(ValueError):
    """A feature that cannot be stored: NaN, infinite, or too large for the precision."""


class LayerColumns:
    """Hidden states of some layers at 50 Hz, `layer_<n>` (frames, dim) for each.

    Args:
        encoder: from `load_encoder`, or of Whisper; on the device to use.
        layers: indices into the hidden states; negative ones count from the end.
        precision: float16 or float32.
        normalize: feed waveforms of mean 0 and variance 1; Whisper's extractor decides itself.
        bf16: run under bfloat16 autocast; Whisper was told before.

    Raises:
        ValueError: the encoder has no such layer, or its frames are not 400 samples every 320.
    """

    def __init__(
        self,
        encoder: PreTrainedModel | WhisperFrames,
        layers: Sequence[int],
        precision: str = "float16",
        normalize: bool = False,
        bf16: bool = False,
    ) -> None:
        self.encoder, self.precision, self.normalize = encoder, precision, normalize
        self.whisper, self.bf16 = isinstance(encoder, WhisperFrames), bf16
        if not self.whisper:
            check_frame_rate(encoder.config)
        count = encoder.num_layers if self.whisper else num_hidden_states(encoder.config)
        wrong = [layer for layer in layers if not -count <= layer < count]
        if wrong:
            raise ValueError(
                f"layer is {wrong[0]}; this encoder has hidden states 0 to {count - 1}."
            )
        self.layers = sorted({layer % count for layer in layers})
        self.main_column = f"layer_{self.layers[-1]}"
        self.dim = encoder.dim if self.whisper else encoder.config.hidden_size
        self.pads = True if self.whisper else can_pad(encoder)
        self.provenance = self._provenance()
        self.about = {
            "title": "Hidden states of speech",
            "kind": "features",
            "layers": self.layers,
            "dim": self.dim,
            "frame_seconds": FRAME_SHIFT / SAMPLING_RATE,
            "columns": ROW_COLUMNS
            | {
                f"layer_{layer}": f"hidden state {layer}, {precision} (frames, {self.dim}); frame "
                "f begins at start + 0.02 f seconds" for layer in self.layers
            },
        }  # fmt: skip

    @property
    def bytes_per_second(self) -> float:
        """Size of the features of one second of audio."""
        width = np.dtype(self.precision).itemsize
        return len(self.layers) * self.dim * width * SAMPLING_RATE / FRAME_SHIFT

    def __call__(
        self, waveforms: Sequence[np.ndarray], starts: Sequence[float]
    ) -> list[dict[str, np.ndarray]]:
        """Return the columns of waveforms (samples,), each at least one frame long.

        Raises:
            FeatureError: a feature is NaN, infinite, or too large for float16.
        """
        if self.whisper:
            states = self.encoder.states(waveforms, self.layers)  # (layers, frames, dim) each
        else:
            found = encode_recordings(
                self.encoder, self._states, waveforms, self.normalize, self.bf16
            )
            states = [one.unflatten(1, (-1, self.dim)).transpose(0, 1) for one in found]
        return [self._columns(one) for one in states]

    def _states(self, values: Tensor, mask: Tensor | None) -> Tensor:
        """(batch, samples) -> (batch, frames, layers * dim)."""
        output = self.encoder(values, attention_mask=mask, output_hidden_states=True)
        states = states_of_frames(output, self.encoder.config)
        return torch.cat([states[layer].float() for layer in self.layers], dim=-1)

    def _columns(self, states: Tensor) -> dict[str, np.ndarray]:
        largest = float(states.abs().max())
        if not math.isfinite(largest):
            raise FeatureError("a feature is NaN or infinite: the weights are damaged or overflow.")
        if largest > LARGEST[self.precision]:
            raise FeatureError(
                f"a feature is {largest:.0f}, and float16 ends at 65504: pass --precision float32."
            )
        kept = states.numpy().astype(self.precision)
        return {f"layer_{layer}": kept[row] for row, layer in enumerate(self.layers)}

    def _provenance(self) -> dict[str, Any]:
        model = self.encoder.model if self.whisper else self.encoder
        return {
            "encoder": tensor_hash(sorted(model.state_dict().items())),
            "layers": self.layers,
            "precision": self.precision,
            "normalize": self.normalize,
            "bf16": self.bf16,
        }


def load_columns(
    name: str,
    layers: Sequence[int],
    precision: str = "float16",
    normalize: bool | None = None,
    bf16: bool = False,
    device: str = "cpu",
) -> LayerColumns:
    """Load an encoder, Whisper's too, for its features.

    Args:
        name: folder, Hub id, or "bundled".
        layers: see `LayerColumns`.
        precision: float16 or float32.
        normalize: None for what the folder says, see `wants_normalized`.
        bf16: run under bfloat16 autocast.
        device: cpu or cuda.

    Raises:
        ValueError: there is no such encoder or layer.
    """
    source = resolve_encoder(name)
    config, _ = PreTrainedConfig.get_config_dict(source)
    if is_whisper(config):
        encoder = WhisperFrames.from_pretrained(source, bf16, device)
        return LayerColumns(encoder, layers, precision, bf16=bf16)
    encoder = load_encoder(source).to(device)
    if normalize is None:
        normalize = wants_normalized(source, encoder.config)
    columns = LayerColumns(encoder, layers, precision, normalize, bf16)
    drop_layers_above(encoder, columns.layers[-1])
    return columns
