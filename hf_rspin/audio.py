"""Read, resample and crop audio; convert between samples and encoder frames.

Every waveform in the package is mono float32 of shape (samples,) at 16 kHz. One encoder frame
covers 400 samples (25 ms) and starts 320 samples (20 ms) after the one before it.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import soundfile
import soxr

SAMPLING_RATE = 16_000
FRAME_SHIFT = 320
FRAME_WINDOW = 400
AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif", ".au")

AudioSource = str | Path | bytes | Mapping


class AudioError(ValueError):
    """An audio file could not be read; the message names it and says what to do."""


def read_audio(source: AudioSource, sampling_rate: int = SAMPLING_RATE) -> np.ndarray:
    """Read an audio file as mono float32 of shape (samples,) at `sampling_rate` Hz.

    Args:
        source: a path, encoded bytes, or a `datasets` audio cell `{"path": ..., "bytes": ...}`.
        sampling_rate: target rate in Hz; other rates are resampled (soxr, high quality).

    Raises:
        AudioError: the file is missing, empty, not audio, or holds NaN or infinite samples.
    """
    name = audio_name(source)
    try:
        samples, rate = soundfile.read(open_source(source), dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError, RuntimeError, TypeError) as error:
        raise AudioError(
            f"{name} could not be read as audio ({error}); expected a wav, flac, ogg or mp3 file: "
            "replace or remove it."
        ) from error
    if len(samples) == 0:
        raise AudioError(f"{name} holds no samples; remove it or record it again.")
    waveform = samples.mean(axis=1)  # (samples,)
    if not np.isfinite(waveform).all():
        raise AudioError(f"{name} holds NaN or infinite samples; write it again as 16-bit audio.")
    if rate != sampling_rate:
        waveform = soxr.resample(waveform, rate, sampling_rate)
    return np.ascontiguousarray(waveform, dtype=np.float32)


def audio_name(source: AudioSource) -> str:
    """Name an audio source for messages: its path where it has one."""
    if isinstance(source, Mapping):
        return str(source.get("path") or "<audio bytes>")
    return "<audio bytes>" if isinstance(source, bytes) else str(source)


def audio_duration(source: AudioSource) -> float:
    """Return the duration in seconds from the header, without decoding.

    Raises:
        AudioError: the header could not be read.
    """
    try:
        info = soundfile.info(open_source(source))
    except (soundfile.LibsndfileError, OSError, RuntimeError, TypeError) as error:
        raise AudioError(
            f"{audio_name(source)} could not be read as audio ({error}); expected a wav, flac, "
            "ogg or mp3 file: replace or remove it."
        ) from error
    return info.frames / info.samplerate


def num_frames(num_samples: int) -> int:
    """Return the number of encoder frames of `num_samples` samples at 16 kHz."""
    return max(0, (num_samples - FRAME_WINDOW) // FRAME_SHIFT + 1)


def num_samples(frames: int) -> int:
    """Return the least number of samples at 16 kHz that give `frames` encoder frames."""
    return 0 if frames <= 0 else (frames - 1) * FRAME_SHIFT + FRAME_WINDOW


def random_crop(
    length: int, max_length: int, generator: np.random.Generator
) -> tuple[int, int]:
    """Draw a crop `(start, stop)` in samples whose start is a multiple of the frame shift.

    Frame labels stay aligned: frame `start // FRAME_SHIFT` of the whole is frame 0 of the crop.
    """
    if length <= max_length:
        return 0, length
    start = FRAME_SHIFT * int(generator.integers(0, (length - max_length) // FRAME_SHIFT + 1))
    return start, start + max_length


def open_source(source: AudioSource) -> str | io.BytesIO:
    """Return what soundfile can open.

    Raises:
        FileNotFoundError: there is no such file; libsndfile would say "System error".
    """
    if isinstance(source, Mapping):
        source = source.get("bytes") or source.get("path") or ""
    if isinstance(source, bytes):
        return io.BytesIO(source)
    if not Path(source).is_file():
        raise FileNotFoundError("there is no such file" if source else "no file is named")
    return str(source)
