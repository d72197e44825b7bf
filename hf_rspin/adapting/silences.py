"""Where a waveform has something to hear, in parts short enough to train on."""

from __future__ import annotations

import numpy as np

from hf_rspin.audio import FRAME_SHIFT, SAMPLING_RATE

BELOW_SPEECH = 35.0  # dB: what lies so far under the loudest frames is silence
ABSOLUTE = -65.0  # dB of full scale: silence in any case
LOUD = 98  # percentile of the levels that stands for speech, which may be rare
LONGEST_GAP = 0.6  # seconds of silence that stay inside a part
MARGIN = 0.1  # seconds kept beside it
QUIET_FRAMES = 10  # of 20 ms: the pause that a long part is cut in
USUAL_SHARE = 0.8  # of the longest part; the rest is how far from the even cut the pause may be


def speech_parts(
    waveform: np.ndarray, longest: float = 12.0, shortest: float = 1.0
) -> list[tuple[int, int]]:
    """Return (start, stop) in samples of the parts that are not silent.

    Long silences are left out, short ones stay. What lasts longer than `longest` without a
    silence is cut in the quietest 0.2 s near even cuts. Where noise covers the silences nothing is
    left out: this is a level, no detector of speech.

    Args:
        waveform: (samples,) at 16 kHz, of minutes at most: its own level says what silence is.
        longest: part, in seconds.
        shortest: part, in seconds; shorter ones are left out.

    Returns:
        Parts in order; starts are multiples of 320 samples.
    """
    levels = frame_levels(waveform)
    if len(levels) == 0:
        return []
    limit = max(ABSOLUTE, float(np.percentile(levels, LOUD)) - BELOW_SPEECH)
    parts = []
    for start, stop in _joined(levels > limit):
        borders = [start, *_cuts(levels, start, stop, round(longest * 50)), stop]
        parts += list(zip(borders, borders[1:], strict=False))
    samples = ((start * FRAME_SHIFT, stop * FRAME_SHIFT) for start, stop in parts)
    return [(a, b) for a, b in samples if b - a >= shortest * SAMPLING_RATE]


def frame_levels(waveform: np.ndarray) -> np.ndarray:
    """Return the level of each 20 ms of (samples,) at 16 kHz in dB of full scale."""
    frames = waveform[: len(waveform) // FRAME_SHIFT * FRAME_SHIFT].reshape(-1, FRAME_SHIFT)
    power = np.square(frames - frames.mean(axis=1, keepdims=True)).mean(axis=1)
    return 10 * np.log10(power + 1e-12)


def _joined(loud: np.ndarray) -> list[tuple[int, int]]:
    """Return (start, stop) in frames of what is loud, over short gaps, with its margins."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], loud.astype(np.int8), [0]])))
    margin, gap = round(MARGIN * 50), round(LONGEST_GAP * 50)
    parts: list[list[int]] = []
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        if parts and start - parts[-1][1] <= gap:
            parts[-1][1] = int(stop)
        else:
            parts.append([int(start), int(stop)])
    return [(max(0, a - margin), min(len(loud), b + margin)) for a, b in parts]


def _cuts(levels: np.ndarray, start: int, stop: int, longest: int) -> list[int]:
    """Return the quietest places, in frames, that make parts of at most `longest` frames."""
    cuts: list[int] = []
    while stop - start > longest:
        left = int(np.ceil((stop - start) / (USUAL_SHARE * longest)))
        even, reach = (stop - start) / left, (1 - USUAL_SHARE) * longest
        start = quietest(levels, int(start + even - reach), int(start + even + reach))
        cuts.append(start)
    return cuts


def quietest(levels: np.ndarray, first: int, last: int) -> int:
    """Return the frame between two in the middle of the quietest 0.2 s."""
    first, last = max(1, first), min(len(levels) - 1, last)
    half = QUIET_FRAMES // 2
    power = np.concatenate([[0.0], np.cumsum(10 ** (levels / 10))])
    places = np.arange(first, last + 1)
    low, high = np.maximum(places - half, 0), np.minimum(places + half, len(levels))
    return int(places[np.argmin((power[high] - power[low]) / (high - low))])
