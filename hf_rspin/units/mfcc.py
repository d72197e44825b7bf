"""Mel-frequency cepstral coefficients, one vector per encoder frame."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.fft import dct

from hf_rspin.audio import FRAME_SHIFT, FRAME_WINDOW, SAMPLING_RATE, num_frames

_FFT_SIZE = 512
_PRE_EMPHASIS = 0.97
_DELTA_REACH = 2
_DYNAMIC_RANGE = 4 * np.log(10)  # 40 dB of power


def mfcc(waveform: np.ndarray, num_coefficients: int = 13, num_mels: int = 40) -> np.ndarray:
    """Return MFCC with first and second differences, (frames, 3 * num_coefficients) float32.

    Windows of 400 samples every 320, not centred, so that frame i is the encoder's frame i and
    the two have the same number. Two differences from the HuBERT recipe, both for corpora of many
    rooms and microphones: what lies more than 40 dB below the loud frames counts as silence (the
    background noise of quiet frames takes clusters that nothing can predict), and the static
    coefficients have mean 0 over the utterance (a channel is a constant in the cepstrum).

    Args:
        waveform: (samples,) at 16 kHz.

    Raises:
        ValueError: the waveform is shorter than one frame (400 samples).
    """
    spectrum = log_mel(waveform, num_mels)  # (frames, mels)
    loud = np.percentile(spectrum.max(axis=1), 98)
    cepstrum = dct(np.maximum(spectrum, loud - _DYNAMIC_RANGE), norm="ortho", axis=1)
    static = cepstrum[:, :num_coefficients]
    static -= static.mean(axis=0)
    first = _differences(static)
    return np.hstack([static, first, _differences(first)]).astype(np.float32)


def log_mel(waveform: np.ndarray, num_mels: int = 80) -> np.ndarray:
    """Return the log-mel spectrogram, (frames, num_mels) float32, framed as the encoder frames."""
    frames = num_frames(len(waveform))
    if frames == 0:
        raise ValueError(
            f"the waveform has {len(waveform)} samples; one frame takes {FRAME_WINDOW}: "
            "skip utterances this short."
        )
    emphasised = np.append(waveform[:1], waveform[1:] - _PRE_EMPHASIS * waveform[:-1])
    windows = np.lib.stride_tricks.sliding_window_view(emphasised, FRAME_WINDOW)[::FRAME_SHIFT]
    power = np.abs(np.fft.rfft(windows * np.hanning(FRAME_WINDOW), _FFT_SIZE)) ** 2
    # The offset keeps digital silence finite and lies below 16-bit quantisation noise.
    return np.log(power @ _mel_filters(num_mels) + 1e-8).astype(np.float32)


def _differences(features: np.ndarray) -> np.ndarray:
    """Regression slope over two frames either side; edges are repeated."""
    from scipy.signal import savgol_filter  # slow to import

    return savgol_filter(features, 2 * _DELTA_REACH + 1, 1, deriv=1, axis=0, mode="nearest")


@lru_cache
def _mel_filters(num_mels: int, lowest: float = 20.0, highest: float = 8000.0) -> np.ndarray:
    """Triangular filters, (fft bins, num_mels), equally spaced on the mel scale."""
    mels = np.linspace(_mel(lowest), _mel(highest), num_mels + 2)
    bins = _mel(np.fft.rfftfreq(_FFT_SIZE, 1 / SAMPLING_RATE))[:, None]  # (bins, 1)
    left, centre, right = mels[:-2], mels[1:-1], mels[2:]
    rise, fall = (bins - left) / (centre - left), (right - bins) / (right - centre)
    return np.clip(np.minimum(rise, fall), 0, None)


def _mel(hertz: np.ndarray | float) -> np.ndarray:
    return 1127.0 * np.log1p(np.asarray(hertz) / 700.0)
