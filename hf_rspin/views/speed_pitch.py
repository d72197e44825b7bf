"""Longer or shorter at the same pitch, and from it a pitch shift at equal length.

Waveform similarity overlap-add (W. Verhelst and M. Roelands, ICASSP 1993): windows are set down at
a fixed hop and read at another, each from the place near by where the waveform best continues the
window before it. No F0 is estimated, so that noise, music and silence are treated as speech is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np
import soxr

from ..audio import SAMPLING_RATE
from .transform import Transform, UtteranceInfo, check_rate, check_waveform

HOP_SECONDS = 0.015  # half a window: longer than the period of a voice of 75 Hz
SEARCH_SECONDS = 0.0075  # either way: together a period of 67 Hz
LARGEST_STRETCH = 2.0
SEMITONE = 2.0 ** (1 / 12)
HUBERT_SPEEDS = (0.9, 1.0, 1.1)
WAVLM_SPEEDS = (0.80, 0.85, 0.9, 1.0, 1.1, 1.15, 1.20)
LATER_SPEEDS = (0.80, 0.85, 0.90, 0.95, 1.00, 1.05, 1.10, 1.15, 1.20)
SLOWEST, FASTEST = 0.5, 2.0
MOST_SEMITONES = 12.0


def time_scale(waveform: np.ndarray, sampling_rate: int, stretch: float) -> np.ndarray:
    """Change the duration of a waveform and not its pitch.

    Args:
        waveform: (samples,), any level.
        sampling_rate: in Hz.
        stretch: new duration over the old, 1/2 to 2.

    Returns:
        (round(samples * stretch),) float32, no louder than the input.

    Raises:
        ValueError: the stretch is out of range, or the waveform is not (samples,) of finite floats.
    """
    if not 1 / LARGEST_STRETCH <= stretch <= LARGEST_STRETCH:
        raise ValueError(f"stretch is {stretch}; expected 1/2 to 2 (1 changes nothing).")
    check_rate(sampling_rate, "The change of duration")
    samples = check_waveform(waveform, "The change of duration").astype(np.float32, copy=False)
    length = round(len(samples) * stretch)
    if length == len(samples) or len(samples) == 0:
        return samples.copy()
    hop = round(HOP_SECONDS * sampling_rate)
    search = round(SEARCH_SECONDS * sampling_rate)
    margin = np.zeros(2 * hop + search, dtype=np.float32)
    return _overlap_add(
        np.concatenate([margin, samples, margin]), len(margin), length, 1.0 / stretch, hop, search
    )


def change_speed_and_pitch(
    waveform: np.ndarray, sampling_rate: int, speed: float, semitones: float
) -> np.ndarray:
    """Play a waveform faster, as a tape would, and shift its pitch at equal length on top.

    The shift is a change of duration by `time_scale` that the resampling takes back; formants move
    with the pitch, as in the tools that LASER's authors use. One resampling does both.

    Args:
        waveform: (samples,), any level.
        sampling_rate: in Hz.
        speed: above 1 is shorter and higher.
        semitones: pitch shift beyond that of the speed.

    Returns:
        (round(samples / speed),) float32, not clipped.

    Raises:
        ValueError: speed or shift is out of range, or the waveform is not as above.
    """
    ratio = SEMITONE**semitones
    if not (0.25 <= speed <= 4.0):
        raise ValueError(f"speed is {speed}; expected 0.25 to 4 (1 changes nothing).")
    if not abs(semitones) <= MOST_SEMITONES:
        raise ValueError(f"semitones is {semitones}; expected -12 to 12 (0 changes nothing).")
    length = round(len(waveform) / speed)
    samples = time_scale(waveform, sampling_rate, ratio)
    if speed * ratio != 1.0 and len(samples):
        samples = soxr.resample(samples, speed * ratio, 1.0)
    output = np.zeros(length, dtype=np.float32)
    count = min(length, len(samples))  # the resampler may round otherwise
    output[:count] = samples[:count]
    return output


@dataclass(frozen=True)
class SpeedPitchParameters:
    """A speed factor, and the semitones of a pitch shift at equal length after it."""

    speed: float
    semitones: float


class SpeedPitch(Transform):
    """LASER's perturbation: another speed, then a pitch shift up or down; the length changes.

    Args:
        speeds: drawn from uniformly.
        semitones: size of the pitch shift, up or down with equal chance; 0 for none.
        sampling_rate: of the waveforms in Hz.

    Raises:
        ValueError: no speeds, or a speed or shift out of range.
    """

    name = "speed_pitch"
    keeps_timing = False

    def __init__(
        self,
        speeds: Sequence[float] = HUBERT_SPEEDS,
        semitones: float = 2.0,
        sampling_rate: int = SAMPLING_RATE,
    ):
        if isinstance(speeds, str | int | float):
            raise ValueError(f"speeds are {speeds!r}; expected a list, such as {HUBERT_SPEEDS}.")
        self.speeds = tuple(float(speed) for speed in speeds)
        if not self.speeds or not all(SLOWEST <= speed <= FASTEST for speed in self.speeds):
            raise ValueError(
                f"speeds are {list(self.speeds)}; expected a list of numbers from {SLOWEST} to "
                f"{FASTEST}, such as {list(HUBERT_SPEEDS)}."
            )
        if not 0 <= semitones <= MOST_SEMITONES:
            raise ValueError(f"semitones is {semitones}; expected 0 (none) to {MOST_SEMITONES:g}.")
        self.semitones, self.sampling_rate = float(semitones), sampling_rate

    def draw_speed(self, generator: np.random.Generator) -> float:
        """Draw the speed, the first of the draws: batches by length must know it before."""
        return self.speeds[int(generator.integers(len(self.speeds)))]

    def draw(
        self, generator: np.random.Generator, utterance: UtteranceInfo
    ) -> SpeedPitchParameters:
        """Draw the speed, then the direction of the shift."""
        speed = self.draw_speed(generator)
        sign = 1.0 if generator.random() < 0.5 else -1.0
        return SpeedPitchParameters(speed, sign * self.semitones)

    def output_length(self, num_samples: int, parameters: SpeedPitchParameters) -> int:
        """Return `round(num_samples / speed)`."""
        return round(num_samples / parameters.speed)

    def apply(self, waveform: np.ndarray, parameters: SpeedPitchParameters) -> np.ndarray:
        """Change speed and pitch of (samples,)."""
        if parameters.speed == 1.0 and parameters.semitones == 0.0:
            return waveform
        return change_speed_and_pitch(
            waveform, self.sampling_rate, parameters.speed, parameters.semitones
        )


@numba.njit(cache=True, nogil=True, fastmath=True)
def _overlap_add(source, offset, length, rate, hop, search):
    """Return (length,) samples; `source` has `offset` zeros before and after the waveform.

    The Hann windows of two hops sum to one. Of the places within `search` of the nominal one, the
    one with the greatest normalised correlation with the natural continuation is read.
    """
    window = np.empty(2 * hop, dtype=np.float32)
    for n in range(2 * hop):
        window[n] = 0.5 - 0.5 * np.cos(np.pi * (n + 0.5) / hop)
    output = np.zeros(length + 2 * hop, dtype=np.float32)
    last = len(source) - 2 * hop
    place = offset - hop
    for start in range(0, length + hop, hop):
        # output sample `start` is the centre of the window
        if start > 0:
            natural = min(place + hop, last)
            nominal = min(offset - hop + int(round(start * rate)), last)
            place = _best_place(source, natural, nominal, search, last, hop)
        # add the window around `start`; those of neighbours sum to one
        for n in range(2 * hop):
            index = start - hop + n
            if 0 <= index < length:
                output[index] += window[n] * source[place + n]
    return output[:length]


@numba.njit(cache=True, nogil=True, fastmath=True)
def _best_place(source, natural, nominal, search, last, hop):
    """Return the place near `nominal` whose first hop is most like that of `natural`."""
    first, stop = max(0, nominal - search), min(last, nominal + search) + 1
    # energy of the candidate's hop, updated by one sample as the candidate moves on
    energy = np.float32(1e-9)
    for n in range(hop):
        energy += source[first + n] * source[first + n]
    best, place = np.float32(-2.0), nominal
    for candidate in range(first, stop):
        product = np.float32(0.0)
        for n in range(hop):
            product += source[natural + n] * source[candidate + n]
        score = product / np.sqrt(max(energy, np.float32(1e-9)))
        # among equals (silence) the nominal place keeps the timing
        if score > best or (score == best and abs(candidate - nominal) < abs(place - nominal)):
            best, place = score, candidate
        if candidate + 1 < stop:
            energy += source[candidate + hop] * source[candidate + hop]
            energy -= source[candidate] * source[candidate]
    return place
