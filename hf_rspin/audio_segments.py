"""Parts of audio files, read without decoding the rest."""

from __future__ import annotations

import numpy as np
import soundfile
import soxr

from hf_rspin.audio import SAMPLING_RATE, AudioError, AudioSource, audio_name, open_source


def read_segment(
    source: AudioSource, start: float, seconds: float, sampling_rate: int = SAMPLING_RATE
) -> np.ndarray:
    """Read a part of an audio file as mono float32 (samples,) at `sampling_rate` Hz.

    Args:
        source: a path, encoded bytes, or a `datasets` audio cell.
        start: where the part begins, in seconds.
        seconds: how long it is; less comes back where the file ends before.
        sampling_rate: target rate in Hz; other rates are resampled.

    Raises:
        AudioError: the part cannot be read, is empty, or holds NaN or infinite samples.
    """
    name = audio_name(source)
    try:
        with soundfile.SoundFile(open_source(source)) as file:
            rate = file.samplerate
            file.seek(min(round(start * rate), file.frames))
            samples = file.read(round(seconds * rate), dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError, RuntimeError, TypeError) as error:
        raise AudioError(
            f"{name} could not be read at {start:.1f} s ({error}); replace or remove it."
        ) from error
    waveform = samples.mean(axis=1) if len(samples) else np.zeros(0)  # (samples,)
    if len(waveform) == 0 or not np.isfinite(waveform).all():
        raise AudioError(
            f"{name} holds no usable samples at {start:.1f} s: it is shorter than its header says, "
            "or holds NaN; write it again as 16-bit audio."
        )
    if rate != sampling_rate:
        waveform = soxr.resample(waveform, rate, sampling_rate)
    return np.ascontiguousarray(waveform, dtype=np.float32)


def segment_length(source: AudioSource, sampling_rate: int = SAMPLING_RATE) -> int | None:
    """Return the samples of a file by its header; None if it has another rate or is damaged."""
    try:
        info = soundfile.info(open_source(source))
    except (soundfile.LibsndfileError, OSError, RuntimeError, TypeError):
        return None
    return info.frames if info.samplerate == sampling_rate else None
