"""Frozen features: a waveform becomes one vector per layer and frame."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel

from hf_rspin.adapters import is_adapter, load_adapted
from hf_rspin.audio import FRAME_WINDOW, normalize_waveforms
from hf_rspin.cost import forward_flops
from hf_rspin.device import has_fast_bfloat16
from hf_rspin.evaluation.precision import name_of
from hf_rspin.models.encoder import check_frame_rate, num_hidden_states, states_of_frames
from hf_rspin.models.folders import resolve_encoder, wants_normalized
from hf_rspin.models.loading import load_encoder
from hf_rspin.models.whisper_encoder import WhisperFrames, is_whisper
from hf_rspin.units.mfcc import log_mel, mfcc
from hf_rspin.units.windows import chunked_inference
from hf_rspin.utils import tensor_hash

# of a config: says nothing of hidden states, or changes where a folder lies and who saved it
UNRELATED = {"_name_or_path", "transformers_version", "architectures", "auto_map", "dtype",
             "torch_dtype", "id2label", "label2id", "use_cache"}  # fmt: skip
logger = logging.getLogger(__name__)

LOG_MEL, MFCC = "log-mel", "mfcc"
# Mean and standard deviation of 80-band log-mel values over ordinary speech; one constant for
# every corpus and condition, so that the front end stays a function of the waveform alone.
_LOG_MEL_MEAN, _LOG_MEL_SCALE = -5.0, 4.0

UNUSED = ".original_module."  # in names of weights


class EncoderFeatures(Protocol):
    """What the probes need: `encoder_features(waveform)` gives (layers, frames, dim), float32."""

    name: str
    num_layers: int
    dim: int

    def __call__(self, waveform: np.ndarray) -> Tensor:
        """Return the features (layers, frames, dim) of a waveform (samples,) at 16 kHz."""

    def fingerprint(self) -> str:
        """Return a text that changes when the features would."""


class PretrainedEncoderFeatures:
    """All hidden states of a frozen encoder in eval mode: encoder input + every layer.

    One utterance at a time: a GroupNorm front end sees padding (doubling a length with zeros
    moved valid frames by a third), and on a CPU batches are no faster. The last entry is
    `last_hidden_state`, which for "stable layer norm" encoders has the final LayerNorm that
    `hidden_states[-1]` lacks. Above 30 s the windows of `chunked_inference` are encoded. Calls from
    several threads are safe.

    Args:
        model: any HuBERT- or WavLM-like model, with or without heads.
        name: how tables call it.
        normalize: feed waveforms with mean 0 and variance 1 (large models), or as they are.
        bf16: autocast the forward pass to bfloat16; None where that is faster than float32.
    """

    def __init__(
        self, model: PreTrainedModel, name: str, normalize: bool = False, bf16: bool | None = None
    ) -> None:
        self.model = model.base_model.eval().requires_grad_(False)
        self.name = name
        self.normalize = normalize
        device = next(model.parameters()).device.type
        self.bf16 = has_fast_bfloat16(device) if bf16 is None else bf16
        self.num_layers = num_hidden_states(model.config)
        self.dim = model.config.hidden_size

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path,
        name: str | None = None,
        bf16: bool | None = None,
        device: str = "cpu",
    ) -> PretrainedEncoderFeatures:
        """Load a model folder or Hub id as a plain encoder, in float32 however it is stored.

        The folder of an adapter is loaded with the encoder that it adapts.
        """
        model = (load_adapted if is_adapter(path) else load_encoder)(path).to(device)
        check_frame_rate(model.config)
        return cls(model, name or Path(path).name, wants_normalized(path, model.config), bf16)

    @torch.inference_mode()
    def __call__(self, waveform: np.ndarray) -> Tensor:
        """Return the hidden states (layers, frames, dim), float32, on the CPU.

        Raises:
            ValueError: the waveform is shorter than one frame.
        """
        if len(waveform) < FRAME_WINDOW:
            raise ValueError(
                f"the waveform has {len(waveform)} samples; one frame takes {FRAME_WINDOW}: "
                "leave utterances this short out."
            )
        values = torch.from_numpy(np.ascontiguousarray(waveform, dtype=np.float32))[None]
        if self.normalize:
            values = normalize_waveforms(values)
        device = next(self.model.parameters()).device
        with torch.autocast(device.type, torch.bfloat16, enabled=self.bf16):
            return chunked_inference(self._states, values.to(device), 1, self.model)

    def _states(self, values: Tensor) -> Tensor:
        """(1, samples) -> (layers, frames, dim), float32, on the CPU."""
        output = self.model(values, output_hidden_states=True)
        states = states_of_frames(output, self.model.config)
        return torch.stack([state[0].float() for state in states]).cpu()

    def fingerprint(self) -> str:
        """Hash the weights, the precision and the normalisation."""
        form = f"normalize {self.normalize} bf16 {self.bf16} {_shape_of(self.model)}"
        # heads that peft keeps beside the trained ones are drawn anew at every load, and not used
        used = [item for item in self.model.state_dict().items() if UNUSED not in item[0]]
        return tensor_hash([(form, torch.empty(0)), *used])


class WhisperFeatures:
    """All hidden states of Whisper's encoder, at the frames of the others: a topline.

    Each waveform has windows of 30 s to itself, see `WhisperFrames`: short ones cost as much.

    Args:
        encoder: on the device to use.
        name: how tables call it.
    """

    def __init__(self, encoder: WhisperFrames, name: str) -> None:
        self.encoder, self.name = encoder, name
        self.num_layers, self.dim = encoder.num_layers, encoder.dim

    def __call__(self, waveform: np.ndarray) -> Tensor:
        """Return the hidden states (layers, frames, dim), float32, on the CPU.

        Raises:
            ValueError: the waveform is shorter than one frame.
        """
        return self.encoder.states([waveform])[0]

    def fingerprint(self) -> str:
        """Hash the weights and the precision."""
        form = f"whisper bf16 {self.encoder.bf16} {_shape_of(self.encoder.model)}"
        return tensor_hash([(form, torch.empty(0)), *self.encoder.model.state_dict().items()])


class LogMelFeatures:
    """80 log-mel bands in the encoder's frames: the features that learned nothing.

    Has the interface of `PretrainedEncoderFeatures`, with a single "layer". A linear probe that
    sees one frame of it is weak by design; `context` frames either side are stacked to be fair.

    Args:
        num_mels: number of mel bands.
        context: frames stacked either side (edges repeated); 0 is the bare spectrogram.
    """

    def __init__(self, num_mels: int = 80, context: int = 0, name: str = LOG_MEL) -> None:
        if context < 0:
            raise ValueError(f"context is {context}; expected a number of frames, 0 or more.")
        self.name = name
        self.num_mels, self.context = num_mels, context
        self.num_layers = 1
        self.dim = num_mels * (2 * context + 1)

    def __call__(self, waveform: np.ndarray) -> Tensor:
        """Return (1, frames, dim), float32.

        Raises:
            ValueError: the waveform is shorter than one frame.
        """
        bands = (log_mel(waveform, self.num_mels) - _LOG_MEL_MEAN) / _LOG_MEL_SCALE
        frames, reach = len(bands), self.context
        padded = np.pad(bands, ((reach, reach), (0, 0)), mode="edge")
        stacked = np.hstack([padded[k : k + frames] for k in range(2 * reach + 1)])
        return torch.from_numpy(stacked.astype(np.float32))[None]

    def fingerprint(self) -> str:
        """Name the number of bands and the context."""
        return f"{LOG_MEL} {self.num_mels} {self.context}"


class MfccFeatures:
    """MFCC with first and second differences (39 dimensions): what needs no encoder."""

    num_layers, dim = 1, 39

    def __init__(self, name: str = MFCC) -> None:
        self.name = name

    def __call__(self, waveform: np.ndarray) -> Tensor:
        """Return (1, frames, 39), float32.

        Raises:
            ValueError: the waveform is shorter than one frame.
        """
        return torch.from_numpy(mfcc(waveform))[None]

    def fingerprint(self) -> str:
        """Name the features."""
        return MFCC


def load_features(
    path: str | Path, name: str | None = None, bf16: bool | None = None, device: str = "cpu"
) -> EncoderFeatures:
    """Return what gives the features of `path`.

    Args:
        path: a model folder or Hub id, of Whisper too, whose encoder is used; "bundled"; "log-mel"
            (or "log-mel:3": frames stacked either side), or "mfcc".
        name: how tables call it; default the folder.
        bf16: autocast the encoder to bfloat16; None where that is faster than float32.
        device: of the encoder.

    Raises:
        ValueError: the context of "log-mel:context" is not a whole number.
    """
    path = resolve_encoder(path) if str(path) == "bundled" else str(path)
    kind, _, context = path.partition(":")
    if kind not in (LOG_MEL, MFCC):
        if not is_adapter(path) and is_whisper(PreTrainedConfig.get_config_dict(path)[0]):
            encoder = WhisperFrames.from_pretrained(path, bf16, device)
            return WhisperFeatures(encoder, name or Path(path).name)
        return PretrainedEncoderFeatures.from_pretrained(path, name, bf16, device)
    if kind == MFCC:
        return MfccFeatures(name or path)
    if not (context or "0").isdigit():
        raise ValueError(f"got front end {path!r}; expected log-mel, or log-mel:3 (context).")
    return LogMelFeatures(context=int(context or 0), name=name or path)


def needs_no_model(path: str) -> bool:
    """Say whether `load_features` computes `path` from the audio alone."""
    return path.partition(":")[0] in (LOG_MEL, MFCC)


def _shape_of(model: PreTrainedModel) -> str:
    """Return what of a config decides hidden states, beside the weights, as text."""
    config = model.config.to_dict()
    return repr(sorted((k, v) for k, v in config.items() if k not in UNRELATED and v is not None))


def model_of(encoder_features: EncoderFeatures) -> torch.nn.Module | None:
    """Return the network behind some features; None where there is none."""
    if isinstance(encoder_features, PretrainedEncoderFeatures):
        return encoder_features.model
    if isinstance(encoder_features, WhisperFeatures):
        return encoder_features.encoder.model
    return None


def precision_of(encoder_features: EncoderFeatures) -> str | None:
    """Return "bfloat16" (autocast) or "float32"; None where no network computes the features."""
    owner = getattr(encoder_features, "encoder", encoder_features)  # of Whisper
    bf16 = getattr(owner, "bf16", None)
    return None if bf16 is None else name_of(bf16)


def device_of(encoder_features: EncoderFeatures) -> torch.device:
    """Return the device that computes some features."""
    model = model_of(encoder_features)
    return torch.device("cpu") if model is None else next(model.parameters()).device


def gflops_per_second(encoder_features: EncoderFeatures) -> float | None:
    """Return 10^9 operations of the network for one second of speech; None without a network."""
    model = model_of(encoder_features)
    if model is None:
        return None
    try:
        return forward_flops(model) / 1e9
    except (RuntimeError, ValueError, TypeError, AttributeError) as error:  # of code not ours
        name = encoder_features.name
        logger.warning("The operations of %s could not be counted: %s", name, error)
        return None
