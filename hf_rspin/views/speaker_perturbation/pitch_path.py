"""Candidates of F0 in each frame, and the cheapest path through them (Boersma 1993, section 3)."""

from __future__ import annotations

import numba
import numpy as np

MAX_CANDIDATES = 8
VOICING_THRESHOLD = 0.55
SILENCE_THRESHOLD = 0.03
OCTAVE_COST = 0.02


@numba.njit(cache=True, nogil=True)
def pick_candidates(correlation, peaks, rate, floor, ceiling):
    """Pick the peaks of each frame's autocorrelation (frames, lags)."""
    num_frames = len(correlation)
    frequencies = np.zeros((num_frames, MAX_CANDIDATES))
    strengths = np.full((num_frames, MAX_CANDIDATES), -1e30)
    first_lag = max(2, int(rate / ceiling))
    for i in range(num_frames):
        row = correlation[i]
        # candidate 0 is "unvoiced": the quieter the frame, the stronger
        loudness = peaks[i] * (1.0 + VOICING_THRESHOLD) / SILENCE_THRESHOLD
        strengths[i, 0] = VOICING_THRESHOLD + max(0.0, 2.0 - loudness)
        for lag in range(first_lag, len(row) - 1):
            left, middle, right = row[lag - 1], row[lag], row[lag + 1]
            if middle <= 0.5 * VOICING_THRESHOLD or middle <= left or middle < right:
                continue
            # a parabola through the peak and its neighbours gives place and height
            curvature = 2.0 * middle - left - right
            shift = 0.5 * (right - left) / curvature
            frequency = rate / (lag + shift)
            if frequency < floor or frequency > ceiling:
                continue
            height = min(1.0, middle + 0.25 * (right - left) * shift)
            # high F0 is preferred a little, against octaves down
            strength = height + OCTAVE_COST * np.log2(frequency / floor)
            # keep the strongest MAX_CANDIDATES - 1
            weakest = 1
            for k in range(2, MAX_CANDIDATES):
                if strengths[i, k] < strengths[i, weakest]:
                    weakest = k
            if strength > strengths[i, weakest]:
                strengths[i, weakest] = strength
                frequencies[i, weakest] = frequency
    return frequencies, strengths


@numba.njit(cache=True, nogil=True)
def best_path(frequencies, strengths, octave_jump_cost, voicing_change_cost):
    """Return the F0 (frames,) of the path with the greatest strength minus transition costs."""
    num_frames, num_candidates = strengths.shape
    total = strengths.copy()
    origin = np.zeros((num_frames, num_candidates), dtype=np.int64)
    for i in range(1, num_frames):
        for k in range(num_candidates):
            # Viterbi: the best candidate of the frame before to come from
            best, best_from = -1e300, 0
            for j in range(num_candidates):
                before, after = frequencies[i - 1, j], frequencies[i, k]
                cost = 0.0
                if (before > 0) != (after > 0):
                    cost = voicing_change_cost
                elif before > 0:
                    cost = octave_jump_cost * abs(np.log2(before / after))
                value = total[i - 1, j] - cost
                if value > best:
                    best, best_from = value, j
            total[i, k] += best
            origin[i, k] = best_from
    # follow the origins back from the best end
    path = np.zeros(num_frames)
    k = int(np.argmax(total[-1]))
    for i in range(num_frames - 1, -1, -1):
        path[i] = frequencies[i, k]
        k = origin[i, k]
    return path
