"""Conditions that take frequencies away: low-pass, high-pass, a lower sampling rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import scipy.signal
import soxr

from hf_rspin.audio import SAMPLING_RATE
from hf_rspin.evaluation.conditions.graded import GradedDistortion

LOWPASS_HZ = (4000.0, 2000.0, 1000.0, 500.0)
HIGHPASS_HZ = (500.0, 1000.0, 2000.0, 3000.0)
RESAMPLING_RATIOS = (0.75, 0.5, 0.25, 0.125)
ORDER = 8  # run both ways: 6 dB down at the cutoff, 31 dB at 5/4 of it


@dataclass(frozen=True)
class LowPass(GradedDistortion):
    """Nothing above 4000, 2000, 1000 or 500 Hz, by a filter without delay or phase."""

    kind: ClassVar[str] = "lowpass"

    def describe(self) -> str:
        """See `GradedDistortion`."""
        return f"below {self.cutoff_hz:g} Hz"

    @property
    def cutoff_hz(self) -> float:
        """Where the filter is 6 dB down."""
        return LOWPASS_HZ[self.severity - 1]

    def __call__(self, waveform: np.ndarray, utterance: str) -> np.ndarray:
        """Filter (samples,)."""
        return zero_phase_filter(waveform, self.cutoff_hz, "lowpass")


@dataclass(frozen=True)
class HighPass(GradedDistortion):
    """Nothing below 500, 1000, 2000 or 3000 Hz, by a filter without delay or phase."""

    kind: ClassVar[str] = "highpass"

    def describe(self) -> str:
        """See `GradedDistortion`."""
        return f"above {self.cutoff_hz:g} Hz"

    @property
    def cutoff_hz(self) -> float:
        """Where the filter is 6 dB down."""
        return HIGHPASS_HZ[self.severity - 1]

    def __call__(self, waveform: np.ndarray, utterance: str) -> np.ndarray:
        """Filter (samples,)."""
        return zero_phase_filter(waveform, self.cutoff_hz, "highpass")


@dataclass(frozen=True)
class Resampling(GradedDistortion):
    """Sampled at 0.75, 0.5, 0.25 or 0.125 of 16 kHz in between, with steep linear-phase filters."""

    kind: ClassVar[str] = "resample"

    def describe(self) -> str:
        """See `GradedDistortion`."""
        return f"sampled at {self.sampling_rate} Hz"

    @property
    def sampling_rate(self) -> int:
        """The rate in between, in Hz."""
        return round(RESAMPLING_RATIOS[self.severity - 1] * SAMPLING_RATE)

    def __call__(self, waveform: np.ndarray, utterance: str) -> np.ndarray:
        """Resample (samples,) down and up."""
        low = soxr.resample(waveform, SAMPLING_RATE, self.sampling_rate)
        return cut_or_pad(soxr.resample(low, self.sampling_rate, SAMPLING_RATE), len(waveform))


def zero_phase_filter(
    waveform: np.ndarray,
    cutoff_hz: float | tuple[float, float],
    kind: Literal["lowpass", "highpass", "bandpass"],
    order: int = ORDER,
) -> np.ndarray:
    """Run a Butterworth filter forwards and backwards over (samples,) at 16 kHz.

    Args:
        waveform: (samples,).
        cutoff_hz: where the result is 6 dB down; (low, high) of a band.
        kind: which side is kept.
        order: of each of the two runs.

    Returns:
        (samples,) float32.
    """
    if len(waveform) == 0:
        return waveform
    sections = scipy.signal.butter(order, cutoff_hz, kind, fs=SAMPLING_RATE, output="sos")
    padding = min(3 * (2 * len(sections) + 1), len(waveform) - 1)
    return scipy.signal.sosfiltfilt(sections, waveform, padlen=padding).astype(np.float32)


def cut_or_pad(waveform: np.ndarray, num_samples: int) -> np.ndarray:
    """Return the first `num_samples` of (samples,) float32, with silence for those that lack."""
    waveform = waveform[:num_samples].astype(np.float32, copy=False)
    return np.pad(waveform, (0, num_samples - len(waveform)))
