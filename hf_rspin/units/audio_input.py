"""What users hand over as audio becomes waveforms."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import soxr
import torch

from hf_rspin.audio import (
    SAMPLING_RATE,
    AudioError,
    AudioSource,
    num_frames,
    num_samples,
    read_audio,
)

AudioInput = AudioSource | np.ndarray | torch.Tensor


def is_one_utterance(audio: object) -> bool:
    """Say whether `audio` is a single utterance, and not several of them."""
    return isinstance(audio, str | Path | bytes | Mapping | np.ndarray | torch.Tensor)


def as_waveform(
    audio: AudioInput, sampling_rate: float | None = None, name: str = "the waveform"
) -> np.ndarray:
    """Return mono float32 of shape (samples,) at 16 kHz.

    Args:
        audio: floats (samples,) as an array or tensor; a path or encoded bytes; or a cell of
            `datasets`, with "path" / "bytes" or with "array" and "sampling_rate".
        sampling_rate: of an array, in Hz; other rates than 16 kHz are resampled. None: 16 kHz.
            Files and cells say their own.
        name: how messages call an array.

    Raises:
        AudioError: a file cannot be read, or an array is no waveform of finite floats.
    """
    if isinstance(audio, Mapping) and "array" in audio:
        sampling_rate, audio = audio.get("sampling_rate", sampling_rate), audio["array"]
    if isinstance(audio, str | Path | bytes | Mapping):
        return read_audio(audio)
    if isinstance(audio, torch.Tensor):
        audio = audio.detach().cpu()
        audio = (audio.float() if audio.is_floating_point() else audio).numpy()  # bfloat16 too
    if not isinstance(audio, np.ndarray):
        raise AudioError(
            f"{name} came as {type(audio).__name__}; expected a numpy array, a torch tensor, "
            "a path, or a list of those."
        )
    return _resample(_checked(audio, name), sampling_rate)


def read_blocks(
    audio: Iterable[AudioInput], sampling_rate: float | None, seconds: float
) -> Iterator[dict[int, np.ndarray]]:
    """Read waveforms by index, cut to whole frames, about `seconds` of audio at a time.

    For the arguments and errors see `as_waveform`.
    """
    block: dict[int, np.ndarray] = {}
    held = 0
    for index, item in enumerate(audio):
        waveform = as_waveform(item, sampling_rate, f"waveform {index}")
        block[index] = waveform[: num_samples(num_frames(len(waveform)))]
        held += len(waveform)
        if held >= seconds * SAMPLING_RATE:
            yield block
            block, held = {}, 0
    yield block


def _checked(waveform: np.ndarray, name: str) -> np.ndarray:
    if waveform.ndim != 1:
        raise AudioError(
            f"{name} came with shape {waveform.shape}; expected (samples,), one channel: pass "
            "a list of waveforms for a batch, the mean over channels for stereo."
        )
    if waveform.dtype.kind != "f":
        raise AudioError(
            f"{name} came as {waveform.dtype}; expected floats within -1 and 1: divide 16-bit "
            "integers by 32768."
        )
    if not np.isfinite(waveform).all():
        raise AudioError(f"{name} holds NaN or infinite samples; expected finite floats.")
    return np.ascontiguousarray(waveform, np.float32)


def _resample(waveform: np.ndarray, sampling_rate: float | None) -> np.ndarray:
    if sampling_rate is None or sampling_rate == SAMPLING_RATE or len(waveform) == 0:
        return waveform
    if isinstance(sampling_rate, bool) or not sampling_rate > 0:
        raise AudioError(f"sampling_rate is {sampling_rate}; expected a positive number of Hz.")
    return soxr.resample(waveform, sampling_rate, SAMPLING_RATE)
