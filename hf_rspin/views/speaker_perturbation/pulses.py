"""Pulse marks: one place per period in the voiced parts of a waveform.

In each run of voiced frames the marks start at the loudest sample and walk outwards, one period at
a time, to where the waveform correlates best with itself one period earlier (or later).
"""

from __future__ import annotations

import numba
import numpy as np

from .pitch import F0Track

SHORTEST_STEP, LONGEST_STEP = 0.8, 1.25


def mark_pulses(
    waveform: np.ndarray, sampling_rate: int, track: F0Track
) -> tuple[np.ndarray, np.ndarray]:
    """Mark the periods of the voiced parts.

    Args:
        waveform: (samples,) float32.
        sampling_rate: in Hz.
        track: its F0.

    Returns:
        `pulses` (pulses,) float64, increasing positions in samples, and `runs` (pulses,) int64,
        the number of the voiced run each belongs to.
    """
    runs = voiced_runs(track.frequencies)
    times = track.times * sampling_rate
    half_step = 0.5 * track.time_step * sampling_rate
    pulses: list[np.ndarray] = []
    for first, last in runs:
        begin = max(0.0, times[first] - half_step)
        end = min(len(waveform) - 1.0, times[last] + half_step)
        periods = sampling_rate / track.frequencies[first : last + 1]
        pulses.append(_walk(waveform, times[first : last + 1], periods, begin, end))
    counts = [len(p) for p in pulses]
    positions = np.concatenate(pulses) if pulses else np.zeros(0)
    return positions, np.repeat(np.arange(len(runs)), counts)


def voiced_runs(frequencies: np.ndarray) -> list[tuple[int, int]]:
    """Return the (first, last) frames of the stretches whose frequency is above 0."""
    voiced = np.concatenate([[False], frequencies > 0, [False]]).astype(np.int8)
    edges = np.diff(voiced)
    starts, stops = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    return [(int(a), int(b) - 1) for a, b in zip(starts, stops, strict=True)]


@numba.njit(cache=True, nogil=True)
def _walk(waveform, times, periods, begin, end):
    """Mark the periods between samples `begin` and `end`; `periods` in samples at `times`."""
    # the loudest sample is the surest pulse
    start = int(begin)
    for n in range(int(begin), int(end) + 1):
        if abs(waveform[n]) > abs(waveform[start]):
            start = n
    # every step is at least 0.8 of the shortest period, so this many marks are enough
    capacity = 4 + int((end - begin) / (SHORTEST_STEP * periods.min()))
    # backwards, then forwards, a period at a time
    before = np.empty(capacity)
    count_before = 0
    position = float(start)
    while count_before < capacity:
        position -= _period_at(waveform, position, np.interp(position, times, periods), -1)
        if position < begin:
            break
        before[count_before] = position
        count_before += 1
    after = np.empty(capacity)
    count_after = 0
    position = float(start)
    while count_after < capacity:
        position += _period_at(waveform, position, np.interp(position, times, periods), 1)
        if position > end:
            break
        after[count_after] = position
        count_after += 1
    # in order of time
    marks = np.empty(count_before + 1 + count_after)
    marks[:count_before] = before[:count_before][::-1]
    marks[count_before] = start
    marks[count_before + 1 :] = after[:count_after]
    return marks


@numba.njit(cache=True, nogil=True, fastmath=True)
def _period_at(waveform, position, period, direction):
    """Return the lag in samples near `period` at which the waveform best repeats itself.

    Compares one period around `position` with the one before (direction -1) or after (1).
    """
    half = max(2, int(0.5 * period))
    centre = int(round(position))
    shortest = max(1, int(SHORTEST_STEP * period))
    longest = int(np.ceil(LONGEST_STEP * period))
    first = min(centre - half, centre - half + direction * longest)
    last = max(centre + half, centre + half + direction * longest)
    if first < 0 or last >= len(waveform):  # too near an end to compare
        return period
    # correlation over the energy of the other part alone: that of this part is the same for all
    best, best_lag = -1.0, 0
    scores = np.zeros(longest - shortest + 1)
    for lag in range(shortest, longest + 1):
        offset = direction * lag
        product, energy = np.float32(0.0), np.float32(1e-20)
        for n in range(centre - half, centre + half + 1):
            other = waveform[n + offset]
            product += waveform[n] * other
            energy += other * other
        score = product / np.sqrt(energy)
        scores[lag - shortest] = score
        if score > best:
            best, best_lag = score, lag
    k = best_lag - shortest
    if best <= 0.0 or k <= 0 or k >= len(scores) - 1:
        return period
    # a parabola through three scores gives the place between samples
    curvature = 2 * scores[k] - scores[k - 1] - scores[k + 1]
    if curvature <= 0.0:
        return float(best_lag)
    return best_lag + 0.5 * (scores[k + 1] - scores[k - 1]) / curvature
