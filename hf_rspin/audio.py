"""Read, resample and crop audio; normalise it; convert between samples and encoder frames.

Every waveform in the package is mono float32 of shape (samples,) at 16 kHz. One encoder frame
covers 400 samples (25 ms) and starts 320 samples (20 ms) after the one before it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import soxr

from hf_rspin.audio_arrays import array_of, from_array, is_recording
from hf_rspin.audio_files import (
    AUDIO_SUFFIXES,
    SILENCE,
    AudioError,
    FileLength,
    check_audible,
    decode,
    file_length,
    source_name,
)

__all__ = [
    "AUDIO_SUFFIXES",
    "SILENCE",
    "AudioError",
    "AudioSource",
    "audio_duration",
    "audio_length",
    "audio_name",
    "check_audible",
    "is_recording",
    "normalize_waveforms",
    "num_frames",
    "num_samples",
    "random_crop",
    "read_audio",
]

SAMPLING_RATE = 16_000
FRAME_SHIFT = 320
FRAME_WINDOW = 400
FILTER_MARGIN = 4_000  # samples beside a part: more than the resampling filter reaches

AudioSource = str | Path | bytes | Mapping | IO[bytes] | np.ndarray | Sequence[float]
audio_name = source_name


def read_audio(
    source: AudioSource,
    sampling_rate: int = SAMPLING_RATE,
    start: int = 0,
    stop: int | None = None,
    array_rate: float | None = None,
) -> np.ndarray:
    """Read audio as mono float32 of shape (samples,) at `sampling_rate` Hz.

    A part is read by seeking where the format allows it: PCM, FLAC and Vorbis; in files above a
    minute also Opus, MP3 and floats. It equals the same part of the whole: to the bit in a file of
    this rate, within 1e-6 of full scale in one that is resampled, within about 0.01 in long Opus.

    Args:
        source: a path; encoded bytes; a binary file; a `datasets` cell with "path" or "bytes", in
            which "start" and "stop" in seconds name a segment; what answers to ["array"] and
            ["sampling_rate"], as the audio of `datasets` does; or floats (samples,) as an array,
            tensor or list.
        sampling_rate: target rate in Hz; other rates are resampled (soxr, high quality).
        start: first sample, at the target rate.
        stop: sample after the last one; None: to the end. Less comes where the audio ends before.
        array_rate: rate of floats in Hz; None: the target rate.

    Raises:
        AudioError: it is missing, an empty file, not audio, or holds NaN, infinite or huge samples.
    """
    name = audio_name(source)
    if not _is_file(source):
        waveform = from_array(*array_of(source, array_rate), sampling_rate, name)
        return np.ascontiguousarray(waveform[start:stop], dtype=np.float32)
    first, last = _segment_of(source, sampling_rate)
    end = last if stop is None else min(first + stop, last or first + stop)
    waveform = _read_part(source, sampling_rate, first + start, end)
    if len(waveform) == 0:
        where = f" at {start / sampling_rate:.1f} s" if start else ""
        raise AudioError(f"{name} holds no samples{where}; remove it or record it again.")
    return np.ascontiguousarray(waveform, dtype=np.float32)


def audio_length(source: AudioSource, sampling_rate: int = SAMPLING_RATE) -> tuple[int, bool]:
    """Return the samples that `read_audio` gives, and whether parts of it are read by seeking.

    Raises:
        AudioError: it cannot be read.
    """
    if not _is_file(source):
        return len(read_audio(source, sampling_rate)), False
    length = file_length(source)
    first, last = _segment_of(source, sampling_rate)
    whole = _resampled(length.frames, length.rate, sampling_rate)
    return max(0, min(whole, last or whole) - first), length.seekable


def audio_duration(source: AudioSource) -> float:
    """Return the duration in seconds: from the header, unless that does not tell the truth.

    Raises:
        AudioError: the header could not be read.
    """
    if not _is_file(source):
        return len(read_audio(source)) / SAMPLING_RATE
    length = file_length(source)
    start, stop = _seconds_of(source)
    seconds = length.frames / length.rate
    return seconds if start == 0 and stop is None else min(seconds, stop or seconds) - start


def normalize_waveforms(waveforms: Any) -> Any:
    """Give waveforms (..., samples) zero mean and unit variance, as `Wav2Vec2FeatureExtractor`.

    Args:
        waveforms: a numpy array or torch tensor, without padding.
    """
    centred = waveforms - waveforms.mean(-1, keepdims=True)
    return centred / ((centred * centred).mean(-1, keepdims=True) + 1e-7) ** 0.5


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


def _is_file(source: object) -> bool:
    if isinstance(source, Mapping):
        return "array" not in source
    return isinstance(source, str | Path | bytes | bytearray) or hasattr(source, "read")


def _seconds_of(source: object) -> tuple[float, float | None]:
    """Return where the segment of a cell begins and ends in its file, in seconds.

    Raises:
        AudioError: it ends before it begins, or begins before the file.
    """
    if not isinstance(source, Mapping):
        return 0.0, None
    start, stop = source.get("start") or 0.0, source.get("stop")
    if not 0 <= start < (math.inf if stop is None else stop):
        raise AudioError(
            f"{audio_name(source)} is asked for from {start:g} s to {stop} s; expected a start of "
            "0 or more, and a stop after it."
        )
    return start, None if stop == math.inf else stop


def _segment_of(source: object, sampling_rate: int) -> tuple[int, int | None]:
    start, stop = _seconds_of(source)
    return round(start * sampling_rate), None if stop is None else round(stop * sampling_rate)


def _resampled(frames: int, rate: int, target: int) -> int:
    """Return how many samples soxr makes of `frames`."""
    return (2 * frames * target + rate) // (2 * rate)


def _read_part(source: object, target: int, start: int, stop: int | None) -> np.ndarray:
    """Read samples `start` to `stop` at the rate `target` of a file."""
    length = file_length(source)
    if length.rate == target:
        return decode(source, start, stop, length)[0]
    if not length.seekable or (start == 0 and stop is None):
        return soxr.resample(decode(source, length=length)[0], length.rate, target)[start:stop]
    return _resample_part(source, length, target, start, stop)


def _resample_part(
    source: object, length: FileLength, target: int, start: int, stop: int | None
) -> np.ndarray:
    """Resample a part with the audio beside it, from a place where samples of both rates meet."""
    whole = _resampled(length.frames, length.rate, target)
    stop = whole if stop is None else min(stop, whole)
    divisor = math.gcd(length.rate, target)
    step_in, step_out = length.rate // divisor, target // divisor
    first = max(0, start - FILTER_MARGIN) // step_out  # in steps
    last = -(-(stop + FILTER_MARGIN) // step_out)
    samples, _ = decode(source, first * step_in, last * step_in, length)
    resampled = soxr.resample(samples, length.rate, target)
    return resampled[start - first * step_out : stop - first * step_out]
