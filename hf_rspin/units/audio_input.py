"""What users hand over as audio becomes waveforms."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from hf_rspin.audio import (
    SAMPLING_RATE,
    AudioError,
    AudioSource,
    is_recording,
    num_frames,
    num_samples,
    read_audio,
)

AudioInput = AudioSource
is_one_utterance = is_recording


def as_waveform(
    audio: AudioInput, sampling_rate: float | None = None, name: str = "the waveform"
) -> np.ndarray:
    """Return mono float32 of shape (samples,) at 16 kHz, see `read_audio`.

    Args:
        audio: whatever `read_audio` takes.
        sampling_rate: of floats, in Hz; None: 16 kHz. Files and cells say their own.
        name: how messages call floats.

    Raises:
        AudioError: a file cannot be read, or an array is no waveform of finite floats.
    """
    try:
        return read_audio(audio, array_rate=sampling_rate)
    except AudioError as error:
        raise AudioError(str(error).replace("<audio>", name)) from error


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
