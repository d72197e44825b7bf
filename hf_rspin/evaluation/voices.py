"""Measure a change of voice in the sound it made: F0 and formants, against what was asked for.

Nothing here shares code with `hf_rspin.views`, which is what is measured.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg

PERIODS_PER_FRAME = 3  # of the lowest F0
HOP_SECONDS = 0.01
LEAST_LEVEL = 0.1  # of the loudest frame: softer frames are not looked at
LEAST_PEAK = 0.6  # normalised autocorrelation of a voiced frame
NEAR_BEST_PEAK = 0.85  # the first peak this near to the best one is the period
FRAME_SECONDS = 0.05  # of the frames whose formants are measured
VOWEL_LEVEL = 0.3  # of the loudest voiced frame
LEAST_FRAMES = 5
PREEMPHASIS = 0.95
AXIS_HZ = np.geomspace(250.0, 7000.0, 600)
MOST_STEPS = 90  # of the axis: ratios from 0.6 to 1.65


def median_f0(waveform: np.ndarray, sampling_rate: int, floor: float, ceiling: float) -> float:
    """Return the median F0 in Hz of the voiced frames, NaN where there are hardly any.

    The plain autocorrelation of Hann-windowed frames over that of the window; the period is its
    first high peak.

    Args:
        waveform: (samples,).
        sampling_rate: in Hz.
        floor: lowest F0 to look for, in Hz.
        ceiling: highest F0 to look for, in Hz.
    """
    length = int(PERIODS_PER_FRAME * sampling_rate / floor)
    starts = np.arange(0, len(waveform) - length, int(HOP_SECONDS * sampling_rate))
    frames = np.asarray(waveform, dtype=np.float64)[starts[:, None] + np.arange(length)]
    if len(frames) < LEAST_FRAMES:
        return float("nan")
    levels = frames.std(axis=1)
    frames = frames[levels > LEAST_LEVEL * levels.max()]
    lags = (int(sampling_rate / ceiling), int(sampling_rate / floor) + 1)
    periods = [_period(row, *lags) for row in _autocorrelation(frames, lags[1] + 1)]
    voiced = [period for period in periods if period]
    return sampling_rate / float(np.median(voiced)) if len(voiced) >= LEAST_FRAMES else float("nan")


def _autocorrelation(frames: np.ndarray, num_lags: int) -> np.ndarray:
    """(frames, samples) -> (frames, lags), 1 at lag 0 and at the period of a periodic sound."""
    window = np.hanning(frames.shape[1])
    centred = (frames - frames.mean(axis=1, keepdims=True)) * window
    size = 2 * frames.shape[1]
    both = [np.fft.irfft(np.abs(np.fft.rfft(x, size)) ** 2) for x in (centred, window[None])]
    values, shape = (x[:, :num_lags] / np.maximum(x[:, :1], 1e-12) for x in both)
    return values / shape


def _period(correlation: np.ndarray, first: int, last: int) -> float:
    """Return the period in samples, between two lags; 0 for an unvoiced frame."""
    before, inner, after = (correlation[first + k : last + k] for k in (-1, 0, 1))
    is_peak = (inner > before) & (inner >= after)
    best = inner[is_peak].max(initial=0.0)
    if best < LEAST_PEAK:
        return 0.0
    place = int(np.argmax(is_peak & (inner > NEAR_BEST_PEAK * best)))
    a, b, c = before[place], inner[place], after[place]
    return first + place + 0.5 * (c - a) / (2 * b - a - c)  # top of the parabola


def log_envelope(waveform: np.ndarray, sampling_rate: int, order: int = 16) -> np.ndarray:
    """Return the linear-prediction envelope of (samples,) on `AXIS_HZ`, natural logarithm."""
    signal = np.append(waveform[0], waveform[1:] - PREEMPHASIS * waveform[:-1]).astype(np.float64)
    correlation = np.correlate(signal, signal, "full")[len(signal) - 1 :][: order + 1]
    correlation[0] *= 1 + 1e-6
    predictor = scipy.linalg.solve_toeplitz(correlation[:-1], correlation[1:])
    angles = 2 * np.pi * AXIS_HZ / sampling_rate
    response = np.exp(-1j * np.outer(angles, np.arange(1, order + 1))) @ predictor
    return -np.log(np.abs(1 - response))


def vowel_envelope(
    waveform: np.ndarray, sampling_rate: int, voiced_times: np.ndarray, order: int = 18
) -> np.ndarray | None:
    """Return the mean envelope of the loud voiced frames; None where there are hardly any.

    Args:
        waveform: (samples,).
        sampling_rate: in Hz.
        voiced_times: centres of voiced frames in seconds.
        order: of the linear prediction.
    """
    half = int(FRAME_SECONDS * sampling_rate / 2)
    centres = (np.asarray(voiced_times) * sampling_rate).astype(int)
    centres = centres[(centres >= half) & (centres + half <= len(waveform))]
    frames = [np.asarray(waveform[c - half : c + half], dtype=np.float64) for c in centres]
    levels = np.array([frame.std() for frame in frames])
    loud = np.flatnonzero(levels > VOWEL_LEVEL * levels.max(initial=0.0))
    if len(loud) < LEAST_FRAMES:
        return None
    window = np.hanning(2 * half)
    return np.mean([log_envelope(frames[i] * window, sampling_rate, order) for i in loud], axis=0)


def envelope_ratio(before: np.ndarray, after: np.ndarray) -> float:
    """Return the ratio by which an envelope on `AXIS_HZ` moved: the best match on a log axis."""
    step, scores = np.log(AXIS_HZ[1] / AXIS_HZ[0]), {}
    for lag in range(-MOST_STEPS, MOST_STEPS + 1):
        first = before[max(0, -lag) : len(before) - max(0, lag)]
        second = after[max(0, lag) : len(after) - max(0, -lag)]
        scores[lag] = np.corrcoef(first, second)[0, 1]
    return float(np.exp(step * max(scores, key=scores.get)))
