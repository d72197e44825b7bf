"""Fundamental frequency by normalised autocorrelation.

After P. Boersma, "Accurate short-term analysis of the fundamental frequency and the
harmonics-to-noise ratio of a sampled sound" (1993): the autocorrelation of a Hann-windowed frame
is divided by that of the window, its peaks are candidates, and the cheapest path through the
candidates of all frames is the track. Ours runs at 8 kHz on a low-passed power spectrum, so that
a parabola through three points finds the height and place of a peak.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft
import soxr

from ..transform import check_rate, check_waveform
from .pitch_path import best_path, pick_candidates

FLOOR_HZ, CEILING_HZ = 75.0, 600.0
ANALYSIS_RATE = 8000
LOW_PASS_HZ = 2500.0
PERIODS_PER_WINDOW = 3.0
TIME_STEP_PERIODS = 0.8
RANGE_STEP_PERIODS = 1.6  # quartiles need fewer frames than a contour
OCTAVE_JUMP_COST = 0.35
VOICING_CHANGE_COST = 0.14
FRAMES_PER_BLOCK = 64


@dataclass(frozen=True)
class F0Track:
    """F0 of a waveform: `frequencies` (frames,) in Hz, 0 where unvoiced.

    `times` (frames,) are the centres of the frames in seconds, `time_step` apart.
    """

    times: np.ndarray
    frequencies: np.ndarray
    time_step: float

    @property
    def is_voiced(self) -> bool:
        """Whether any frame is voiced."""
        return bool((self.frequencies > 0).any())

    @property
    def voiced_frequencies(self) -> np.ndarray:
        """F0 of the voiced frames in Hz."""
        return self.frequencies[self.frequencies > 0]

    @property
    def median(self) -> float:
        """Median F0 of the voiced frames in Hz, 0 where there is none."""
        return float(np.median(self.voiced_frequencies)) if self.is_voiced else 0.0


def estimate_f0(
    waveform: np.ndarray,
    sampling_rate: int,
    floor: float = FLOOR_HZ,
    ceiling: float = CEILING_HZ,
    step_periods: float = TIME_STEP_PERIODS,
) -> F0Track:
    """Track F0 between `floor` and `ceiling` Hz every `step_periods` / floor seconds.

    Args:
        waveform: (samples,), any level; constant offsets do not matter.
        sampling_rate: in Hz.
        floor: lowest F0 in Hz; the window is three of its periods.
        ceiling: highest F0 in Hz, at most 2000.
        step_periods: time from frame to frame, in periods of `floor`.

    Returns:
        The track; without frames where the waveform is shorter than one window.

    Raises:
        ValueError: the range is not 0 < floor < ceiling <= 2000, or the waveform is not (samples,)
            of finite floats.
    """
    return _track(*_analysis_signal(waveform, sampling_rate), floor, ceiling, step_periods)


def estimate_f0_range(waveform: np.ndarray, sampling_rate: int) -> tuple[float, float] | None:
    """Return the F0 range (floor, ceiling) of a voice in Hz, or None where nothing is voiced.

    A wide first pass gives the quartiles of voiced F0; the range is 0.75 * first quartile to
    1.5 * third quartile. Replaces the per-speaker table of Spin's authors.
    """
    return _range(*_analysis_signal(waveform, sampling_rate))


def track_voice(
    waveform: np.ndarray, sampling_rate: int, f0_range: tuple[float, float] | None = None
) -> F0Track | None:
    """Track F0 in the range of the voice, which is estimated where None.

    As `estimate_f0_range` and then `estimate_f0`, with one analysis signal for both.

    Returns:
        The track; None where nothing is voiced.
    """
    signal = _analysis_signal(waveform, sampling_rate)
    if f0_range is None:
        f0_range = _range(*signal)
    return None if f0_range is None else _track(*signal, *f0_range)


def _range(samples: np.ndarray, rate: float) -> tuple[float, float] | None:
    """Return `estimate_f0_range` of an analysis signal."""
    track = _track(samples, rate, step_periods=RANGE_STEP_PERIODS)
    if not track.is_voiced:
        return None
    first, third = np.quantile(track.voiced_frequencies, (0.25, 0.75))
    return 0.75 * float(first), 1.5 * float(third)


def _track(
    samples: np.ndarray,
    rate: float,
    floor: float = FLOOR_HZ,
    ceiling: float = CEILING_HZ,
    step_periods: float = TIME_STEP_PERIODS,
) -> F0Track:
    """Return `estimate_f0` of an analysis signal (samples,) at `rate` Hz."""
    if not 0 < floor < ceiling <= ANALYSIS_RATE / 4:
        raise ValueError(
            f"F0 range {floor}-{ceiling} Hz, expected 0 < floor < ceiling <= {ANALYSIS_RATE // 4}."
        )
    window_length = int(round(PERIODS_PER_WINDOW / floor * rate))
    time_step = step_periods / floor
    starts = _frame_starts(len(samples), window_length, time_step * rate)
    times = (starts + window_length / 2) / rate
    peak = float(np.abs(samples).max()) if len(samples) else 0.0
    if len(starts) == 0 or peak == 0.0:
        return F0Track(times, np.zeros(len(starts)), time_step)
    path = best_path(
        *_all_candidates(samples / peak, starts, window_length, rate, floor, ceiling),
        OCTAVE_JUMP_COST * 0.01 / time_step,
        VOICING_CHANGE_COST * 0.01 / time_step,
    )
    return F0Track(times, path, time_step)


def _analysis_signal(waveform: np.ndarray, sampling_rate: int) -> tuple[np.ndarray, float]:
    """Return the waveform (samples,) at 8 kHz or less without its offset, and its rate in Hz."""
    check_rate(sampling_rate, "The F0 track")
    samples = check_waveform(waveform, "The F0 track").astype(np.float32, copy=False)
    if len(samples) and sampling_rate > ANALYSIS_RATE:
        samples = soxr.resample(samples, sampling_rate, ANALYSIS_RATE, quality="LQ")
        sampling_rate = ANALYSIS_RATE
    if len(samples):
        samples = samples - samples.mean(dtype=np.float64).astype(np.float32)
        if np.abs(samples).max() < 1e-7:  # rounding noise of silence or of a constant
            samples = np.zeros_like(samples)
    return samples, sampling_rate


def _frame_starts(num_samples: int, window_length: int, step: float) -> np.ndarray:
    """Return the first sample of every frame (frames,), the frames centred as a whole."""
    if num_samples < window_length:
        return np.zeros(0, dtype=np.int64)
    count = int((num_samples - window_length) / step) + 1
    margin = (num_samples - window_length - (count - 1) * step) / 2
    return np.floor(margin + step * np.arange(count)).astype(np.int64)


def _all_candidates(
    samples: np.ndarray,
    starts: np.ndarray,
    window_length: int,
    rate: float,
    floor: float,
    ceiling: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Return candidate frequencies and strengths (frames, MAX_CANDIDATES); 0 Hz is unvoiced."""
    max_lag = int(np.ceil(rate / floor)) + 1
    window = np.hanning(window_length + 2)[1:-1].astype(np.float32)
    size = scipy.fft.next_fast_len(window_length + max_lag + 1, real=True)
    frequencies = np.fft.rfftfreq(size, 1 / rate)
    low_pass = (1.0 / (1.0 + (frequencies / LOW_PASS_HZ) ** 4)).astype(np.float32)
    window_correlation = _correlation(window[None], low_pass, size, max_lag + 1)[0]
    offsets = np.arange(window_length)
    blocks = []
    for begin in range(0, len(starts), FRAMES_PER_BLOCK):
        frames = samples[starts[begin : begin + FRAMES_PER_BLOCK, None] + offsets]
        frames -= frames.mean(axis=1, keepdims=True)
        peaks = np.abs(frames).max(axis=1)
        correlation = _correlation(frames * window, low_pass, size, max_lag + 1)
        correlation /= window_correlation
        blocks.append(pick_candidates(correlation, peaks, rate, floor, ceiling))
    return np.concatenate([b[0] for b in blocks]), np.concatenate([b[1] for b in blocks])


def _correlation(frames: np.ndarray, weight: np.ndarray, size: int, num_lags: int) -> np.ndarray:
    """Return the autocorrelation (frames, lags) of low-passed frames, 1 at lag 0."""
    spectrum = scipy.fft.rfft(frames, size, axis=1)
    power = spectrum.real**2 + spectrum.imag**2
    correlation = scipy.fft.irfft(power * weight, size, axis=1)[:, :num_lags]
    return correlation / np.maximum(correlation[:, :1], np.float32(1e-20))
