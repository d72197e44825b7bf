"""Time-domain pitch-synchronous overlap-add with a change of the formants.

Each output period is a copy of the input period nearest in time, windowed around its pulse. The
copies are read from the waveform resampled by the formant ratio, so that their spectral envelope
moves; they are set down at the new period and at their original time, so that the duration stays.
The result is that of Praat's "change gender" (resample, then overlap-add back to the original
duration): written from its description, without its code.
"""

from __future__ import annotations

import numba
import numpy as np
import soxr

from .pitch import F0Track
from .pulses import mark_pulses, voiced_runs

UNVOICED_HOP_SECONDS = 0.008
LOWEST_OUTPUT_HZ = 20.0
HIGHEST_OUTPUT_FRACTION = 0.125  # of the sampling rate: eight samples per period
NUM_TAPS = 8


def overlap_add(
    waveform: np.ndarray,
    sampling_rate: int,
    track: F0Track,
    new_frequencies: np.ndarray,
    formant_ratio: float,
) -> np.ndarray:
    """Give a waveform a new F0 contour and move its formants.

    Args:
        waveform: (samples,) float32 without constant offset.
        sampling_rate: in Hz.
        track: its F0, voiced somewhere.
        new_frequencies: (frames,) the F0 wanted in the voiced frames of `track`, in Hz; clamped to
            20 Hz ... sampling_rate / 8, so that every input ends.
        formant_ratio: new formant frequencies over the old.

    Returns:
        (samples,) float32.
    """
    pulses, runs = mark_pulses(waveform, sampling_rate, track)
    targets = np.clip(new_frequencies, LOWEST_OUTPUT_HZ, HIGHEST_OUTPUT_FRACTION * sampling_rate)
    bounds = np.array(voiced_runs(track.frequencies), dtype=np.int64)  # (runs, 2)
    grains = _place_grains(
        len(waveform),
        pulses,
        runs,
        track.times * sampling_rate,
        sampling_rate / np.where(track.frequencies > 0, track.frequencies, targets),
        track.frequencies / targets,
        bounds,
        UNVOICED_HOP_SECONDS * sampling_rate,
    )
    source = waveform
    if formant_ratio != 1.0:
        source = soxr.resample(waveform, formant_ratio, 1.0, quality="MQ")
    output = np.zeros(len(waveform), dtype=np.float32)
    _add_grains(source.astype(np.float32, copy=False), grains, formant_ratio, output)
    return output


@numba.njit(cache=True, nogil=True)
def _place_grains(num_samples, pulses, runs, times, periods, stretches, bounds, hop):
    """Return the grains (grains, 4): output place, input place, input reach left and right.

    All in input samples. Voiced grains are centred on pulses and reach to the neighbouring ones;
    unvoiced grains are read where they are written and reach as far as their neighbours. The new
    period is the distance of the input's pulses times `stretches`, so that ratios of one nearly
    give the input back.
    """
    unlimited = 1e9
    # room for one grain per hop or shortest new period, and half as many again
    shortest = max(1.0, (periods * stretches)[stretches > 0].min())
    capacity = 16 + len(pulses) + int(num_samples / min(hop, shortest) * 1.5)
    grains = np.empty((capacity, 4))
    grains[0] = (0.0, 0.0, unlimited, unlimited)
    count = 1
    first = 0
    for run in range(len(bounds)):
        # the pulses first...last belong to this voiced run
        last = first
        while last + 1 < len(pulses) and runs[last + 1] == run:
            last += 1
        count = _fill_unvoiced(grains, count, pulses[first], hop, unlimited)
        a, b = bounds[run, 0], bounds[run, 1] + 1
        place, nearest = pulses[first], first
        end = pulses[last] + 0.5
        while place <= end and count < capacity - 1:
            # the input pulse nearest in time: some are skipped or repeated as the pitch changes
            while nearest < last and abs(pulses[nearest + 1] - place) < abs(
                pulses[nearest] - place
            ):
                nearest += 1
            # the grain reaches to the pulses beside it, at an end of the run as far as inwards
            left = pulses[max(nearest, first + 1)] - pulses[max(nearest, first + 1) - 1]
            right = pulses[min(nearest, last - 1) + 1] - pulses[min(nearest, last - 1)]
            if first == last:  # a single pulse: the F0 track says how far
                left = right = np.interp(place, times[a:b], periods[a:b])
            grains[count] = (place, pulses[nearest], left, right)
            count += 1
            # one new period on: the input's own, stretched by old F0 over new
            period = right if place >= pulses[nearest] else left
            place += max(1.0, period * np.interp(place, times[a:b], stretches[a:b]))
        first = last + 1
    return grains[: _fill_unvoiced(grains, count, float(num_samples), hop, unlimited)]


@numba.njit(cache=True, nogil=True)
def _fill_unvoiced(grains, count, until, hop, unlimited):
    """Add grains about `hop` apart from the last one to sample `until`; return their number."""
    begin = grains[count - 1, 0]
    steps = max(1, int(round((until - begin) / hop)))
    for k in range(1, steps):
        if count >= len(grains) - 1:
            break
        place = begin + (until - begin) * k / steps
        grains[count] = (place, place, unlimited, unlimited)
        count += 1
    return count


@numba.njit(cache=True, nogil=True)
def _interpolation_taps(fraction, taps):
    """Fill the weights that read a signal `fraction` of a sample after tap NUM_TAPS / 2 - 1."""
    total = 0.0
    for k in range(NUM_TAPS):
        x = k - (NUM_TAPS // 2 - 1) - fraction
        weight = 1.0
        if abs(x) > 1e-9:
            weight = np.sin(np.pi * x) / (np.pi * x)
            weight *= np.cos(np.pi * x / (NUM_TAPS + 1)) ** 2
        taps[k] = weight
        total += weight
    for k in range(NUM_TAPS):
        taps[k] /= total


@numba.njit(cache=True, nogil=True, fastmath=True)
def _add_grains(source, grains, formant_ratio, output):
    """Add the windowed copies; windows of neighbours sum to at most one."""
    taps = np.empty(NUM_TAPS, dtype=np.float32)
    num_grains, num_samples = len(grains), len(output)
    for g in range(num_grains):
        place = grains[g, 0]
        before = grains[g - 1, 0] if g > 0 else place - 1.0
        after = grains[g + 1, 0] if g + 1 < num_grains else num_samples + 1.0
        # neighbours overlap fully; a grain never reaches past its own period
        left = max(1.0, min(place - before, grains[g, 2] / formant_ratio))
        right = max(1.0, min(after - place, grains[g, 3] / formant_ratio))
        # output sample n reads the source at n + shift
        shift = grains[g, 1] / formant_ratio - place
        whole = int(np.floor(shift))
        _interpolation_taps(shift - whole, taps)
        # the window rises from place - left to place and falls to place + right
        base = whole - (NUM_TAPS // 2 - 1)
        first = max(0, int(np.ceil(place - left)))
        middle = min(num_samples, int(np.ceil(place)))
        stop = min(num_samples, int(np.floor(place + right)) + 1)
        _add_half(source, base, taps, place, left, first, middle, output)
        _add_half(source, base, taps, place, right, max(0, middle), stop, output)


@numba.njit(cache=True, nogil=True, fastmath=True)
def _add_half(source, base, taps, place, width, first, stop, output):
    """Add samples first...stop of one grain under half a Hann window of `width` samples.

    The cosine of the window comes from its two-term recurrence: exact to 1e-10 over a period.
    """
    step = np.pi / width
    twice = 2.0 * np.cos(step)
    cosine = np.cos(step * (first - place))
    previous = np.cos(step * (first - 1 - place))
    for n in range(first, stop):
        value = np.float32(0.0)
        if n + base >= 0 and n + base + NUM_TAPS <= len(source):
            for k in range(NUM_TAPS):
                value += taps[k] * source[n + base + k]
        else:
            for k in range(NUM_TAPS):
                if 0 <= n + base + k < len(source):
                    value += taps[k] * source[n + base + k]
        output[n] += np.float32(0.5 + 0.5 * cosine) * value
        cosine, previous = twice * cosine - previous, cosine
