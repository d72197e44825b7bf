"""Frame features to cluster: MFCC, or a hidden layer of an encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor
from transformers import PreTrainedModel

from hf_rspin.models.encoder import (
    check_frame_rate,
    num_hidden_states,
    num_output_frames,
    spread_over_frames,
)
from hf_rspin.models.whisper_encoder import WhisperFrames
from hf_rspin.units.mfcc import mfcc
from hf_rspin.units.recordings import can_pad, encode_recordings

FrameFeatures = Callable[[np.ndarray], np.ndarray]


def mfcc_features() -> FrameFeatures:
    """Return the function waveform (samples,) -> MFCC (frames, 39)."""
    return mfcc


@dataclass(frozen=True)
class LayerFeatures:
    """The function waveform (samples,) -> `hidden_states[layer]` (frames, dim), float32.

    Layers that see fewer frames (SEW, SEW-D: half) have each state repeated. Above 30 s in
    overlapping windows. The layers above are computed too: pass a model with fewer layers for
    speed.

    Args:
        model: any encoder, on the device to use.
        layer: index into `hidden_states`.
        bf16: run under bfloat16 autocast.
        normalize: feed waveforms of mean 0 and variance 1 (large models; base models do not).

    Raises:
        ValueError: the model has no such layer, or its frames are not 400 samples every 320.
    """

    model: PreTrainedModel
    layer: int
    bf16: bool = False
    normalize: bool = False

    def __post_init__(self) -> None:
        check_frame_rate(self.model.config)
        layers = num_hidden_states(self.model.config) - 1
        if not -layers - 1 <= self.layer <= layers:
            raise ValueError(
                f"layer is {self.layer}; this encoder has hidden_states 0 to {layers}."
            )

    def __call__(self, waveform: np.ndarray) -> np.ndarray:
        """Return the features of one utterance, at least a frame long."""
        return self.batch([waveform])[0]

    def batch(self, waveforms: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the features of several; for their lengths see `encode_recordings`."""
        found = encode_recordings(
            self.model, self._states, waveforms, self.normalize, self.bf16
        )
        return [states.numpy() for states in found]

    @property
    def pads(self) -> bool:
        """Whether utterances of several lengths may share a batch."""
        return can_pad(self.model)

    def _states(self, values: Tensor, mask: Tensor | None) -> Tensor:
        config = self.model.config
        output = self.model(values, attention_mask=mask, output_hidden_states=True)
        frames = num_output_frames(values.shape[-1], config)
        return spread_over_frames(output.hidden_states[self.layer], frames, config)


@dataclass(frozen=True)
class WhisperLayerFeatures:
    """The function waveform (samples,) -> hidden state `layer` of Whisper's encoder, float32.

    Args:
        encoder: on the device to use.
        layer: 0 is the encoder's input; negative ones count from the end.

    Raises:
        ValueError: the encoder has no such layer.
    """

    encoder: WhisperFrames
    layer: int

    pads = True  # several utterances share a window of 30 s

    def __post_init__(self) -> None:
        count = self.encoder.num_layers
        if not -count <= self.layer < count:
            raise ValueError(
                f"layer is {self.layer}; this encoder has hidden_states 0 to {count - 1}."
            )

    def __call__(self, waveform: np.ndarray) -> np.ndarray:
        """Return the features (frames, dim) of one utterance, at least a frame long."""
        return self.batch([waveform])[0]

    def batch(self, waveforms: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the features of several, which is much faster than one by one."""
        layer = self.layer % self.encoder.num_layers
        return [states[0].numpy() for states in self.encoder.states(waveforms, [layer])]


layer_features = LayerFeatures
