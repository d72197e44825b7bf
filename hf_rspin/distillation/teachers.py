"""Teachers: any encoder of the house, or Whisper's, as features at the frames of a student."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel

from hf_rspin.device import has_fast_bfloat16
from hf_rspin.models.encoder import check_frame_rate, num_hidden_states, states_of_frames
from hf_rspin.models.folders import resolve_encoder, wants_normalized
from hf_rspin.models.loading import load_encoder
from hf_rspin.models.whisper_encoder import WhisperFrames, is_whisper
from hf_rspin.units.recordings import can_pad, encode_recordings, similar_batches
from hf_rspin.utils import tensor_hash

BATCH_SECONDS = 60.0


class Teacher(Protocol):
    """What gives targets: hidden states of some layers at frames of 400 samples every 320.

    Attributes:
        num_layers: hidden states that it has, the encoder's input counted.
        dim: of each.
        provenance: what tells it from other teachers.
    """

    num_layers: int
    dim: int
    provenance: dict

    def features(self, waveforms: Sequence[np.ndarray], layers: Sequence[int]) -> list[Tensor]:
        """Return (frames, layers, dim) float32 of each waveform (samples,)."""


class EncoderTeacher:
    """An encoder of `encoder.FAMILIES` in eval mode, with heads or without.

    Args:
        model: plain, on the device to use.
        normalize: feed waveforms of mean 0 and variance 1.
        bf16: run under bfloat16 autocast; None where that is faster than float32.
    """

    def __init__(self, model: PreTrainedModel, normalize: bool = False, bf16: bool | None = None):
        check_frame_rate(model.config)
        self.model, self.normalize = model.eval().requires_grad_(False), normalize
        self.bf16 = has_fast_bfloat16(model.device.type) if bf16 is None else bf16
        self.num_layers = num_hidden_states(model.config)
        self.dim = model.config.hidden_size
        self.provenance = {
            "teacher": model.config.model_type, "teacher_weights": _weights(model),
            "normalize": normalize, "bf16": self.bf16,
        }  # fmt: skip

    def features(self, waveforms: Sequence[np.ndarray], layers: Sequence[int]) -> list[Tensor]:
        """Return (frames, layers, dim) float32 of each waveform, as if it were alone.

        Raises:
            ValueError: the encoder gives values that are not finite.
        """

        def encode(values: Tensor, mask: Tensor | None) -> Tensor:
            output = self.model(values, attention_mask=mask, output_hidden_states=True)
            states = states_of_frames(output, self.model.config)
            return torch.stack([states[layer] for layer in layers], dim=2)

        found: dict[int, Tensor] = {}
        rows = dict(enumerate(waveforms))
        for batch in similar_batches(rows, BATCH_SECONDS, can_pad(self.model)):
            features = encode_recordings(
                self.model, encode, list(batch.values()), self.normalize, self.bf16
            )
            found |= dict(zip(batch, features, strict=True))
        return [found[row] for row in rows]


class WhisperTeacher:
    """Whisper's encoder; see `WhisperFrames` for its windows and frames.

    Args:
        encoder: on the device to use.
    """

    def __init__(self, encoder: WhisperFrames):
        self.encoder, self.num_layers, self.dim = encoder, encoder.num_layers, encoder.dim
        self.provenance = {
            "teacher": "whisper", "teacher_weights": _weights(encoder.model), "bf16": encoder.bf16,
        }  # fmt: skip

    def features(self, waveforms: Sequence[np.ndarray], layers: Sequence[int]) -> list[Tensor]:
        """Return (frames, layers, dim) float32 of each waveform."""
        states = self.encoder.states(waveforms, layers)
        return [one.transpose(0, 1) for one in states]


def load_teacher(name: str | Path, bf16: bool | None = None, device: str = "cpu") -> Teacher:
    """Load a teacher from a folder or Hub id: Whisper, or any encoder of the house.

    Raises:
        ValueError: there is no such folder, or it is of another kind, or lacks weights.
    """
    folder = resolve_encoder(name)
    content, _ = PreTrainedConfig.get_config_dict(folder)
    try:
        if is_whisper(content):
            return WhisperTeacher(WhisperFrames.from_pretrained(folder, bf16, device))
        model = load_encoder(folder).to(device)
    except ValueError as error:
        raise ValueError(f"teacher {name}: {error}") from error
    return EncoderTeacher(model, wants_normalized(folder, model.config), bf16)


def check_layers(name: str, teacher: Teacher, layers: Sequence[int]) -> None:
    """Refuse layers that a teacher does not have.

    Raises:
        ValueError: see above.
    """
    wrong = [layer for layer in layers if not 0 <= layer < teacher.num_layers]
    if wrong:
        raise ValueError(
            f"target_layers of {name} are {list(layers)}; expected some of 0 to "
            f"{teacher.num_layers - 1}, its hidden states."
        )


def _weights(model: torch.nn.Module) -> str:
    """Hash the weights but one: the embedding of masked frames, random where a folder lacks it."""
    state = sorted(model.state_dict().items())
    return tensor_hash((n, value) for n, value in state if not n.endswith("masked_spec_embed"))
