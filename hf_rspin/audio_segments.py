"""Parts of audio files by seconds: the former place of what `read_audio` does now."""

from __future__ import annotations

import numpy as np

from hf_rspin.audio import SAMPLING_RATE, AudioError, AudioSource, audio_length, read_audio


def read_segment(
    source: AudioSource, start: float, seconds: float, sampling_rate: int = SAMPLING_RATE
) -> np.ndarray:
    """Read `seconds` from `start` seconds on; see `read_audio`."""
    first = round(start * sampling_rate)
    return read_audio(source, sampling_rate, first, first + round(seconds * sampling_rate))


def segment_length(source: AudioSource, sampling_rate: int = SAMPLING_RATE) -> int | None:
    """Return the samples of a file whose parts can be read; None for others."""
    try:
        length, seekable = audio_length(source, sampling_rate)
    except AudioError:
        return None
    return length if seekable else None
