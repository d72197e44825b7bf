"""Does a transform keep the timing? Measured with a probe, before it is let into the views.

Labels and losses compare frame t of one view with frame t of the other, so that a delay of a frame
(20 ms) or more, or another length, would teach the model something wrong without a word.
"""

from __future__ import annotations

import numpy as np
import scipy.signal

from ..audio import FRAME_SHIFT, SAMPLING_RATE
from .transform import Transform, UtteranceInfo

HOP_SECONDS = 0.002
PROBE_SECONDS = 2.0
NUM_PARTS = 4  # a transform may keep the beginning and shift the rest
LEAST_CORRELATION = 0.3
PENALTY = 0.05  # of the correlation, for any delay
LEAST_AUDIBLE = 0.5  # of a part, for its delay to be measured
FLOOR = 1e-5  # energy of a window that counts as silent


def probe(sampling_rate: int, seed: int = 0) -> np.ndarray:
    """Return a waveform (samples,) float32 whose envelope repeats nowhere: modulated noise."""
    generator = np.random.default_rng(seed)
    num_samples = round(PROBE_SECONDS * sampling_rate)
    knots = generator.uniform(-3.0, 0.0, round(20 * PROBE_SECONDS))  # log10 of power, 20 per second
    levels = np.interp(np.linspace(0, len(knots) - 1, num_samples), np.arange(len(knots)), knots)
    # energy at all frequencies, more of it at low ones, as speech
    noise = scipy.signal.lfilter([1.0], [1.0, -0.9], generator.standard_normal(num_samples))
    waveform = noise * 10.0 ** (levels / 2)
    return (0.5 * waveform / np.abs(waveform).max()).astype(np.float32)


def measure_delays(reference: np.ndarray, output: np.ndarray, sampling_rate: int) -> np.ndarray:
    """Return the delay of each quarter of `output` in samples, to about 2 ms.

    Args:
        reference: (samples,).
        output: (samples,), the same after a transform.
        sampling_rate: in Hz.

    Returns:
        (4,): where the envelopes correlate best; NaN where a quarter has become silent, infinite
        where it is like no part of the reference.
    """
    hop = round(HOP_SECONDS * sampling_rate)
    envelopes = [_envelope(waveform, hop) for waveform in (reference, output)]
    length = len(envelopes[0]) // NUM_PARTS
    delays = np.full(NUM_PARTS, np.nan)
    for part in range(NUM_PARTS):
        place = slice(part * length, (part + 1) * length)
        audible = envelopes[1][place] > np.log(2 * FLOOR)  # a masked part says nothing of timing
        if audible.mean() < LEAST_AUDIBLE:
            continue
        stretches = np.lib.stride_tricks.sliding_window_view(envelopes[0], length)[:, audible]
        scores = _correlations(stretches, envelopes[1][place][audible])
        # among nearly equal places the one in time: a part with little sound is like several
        best = int(np.argmax(scores - PENALTY * (np.arange(len(scores)) != part * length)))
        is_found = scores[best] >= LEAST_CORRELATION
        delays[part] = (part * length - best) * hop if is_found else np.inf
    return delays


def check_alignment(transform: Transform, num_probes: int = 4) -> None:
    """Draw and apply a transform several times to a probe, and measure its timing.

    Raises:
        ValueError: the transform changes the length, or moves a part by a frame or more.
    """
    name = transform.name
    if not transform.keeps_timing:
        raise ValueError(
            f"got {name}, which changes the timing, expected a transform that keeps it: frames of "
            "the two views would not belong together."
        )
    reference = probe(transform.sampling_rate)
    for seed in range(num_probes):
        drawn = transform.draw(np.random.default_rng(seed), UtteranceInfo(len(reference)))
        output = reference if drawn is None else transform.apply(reference.copy(), drawn)
        if output.shape != reference.shape:
            raise ValueError(
                f"{name} made {output.shape} of a waveform of {reference.shape}, expected the same "
                "length: views must stay aligned, so choose a transform that keeps it."
            )
        delays = measure_delays(reference, output, transform.sampling_rate)
        frame = FRAME_SHIFT * transform.sampling_rate / SAMPLING_RATE
        if np.nanmax(np.abs(delays), initial=0.0) >= frame:
            raise ValueError(
                f"{name} moves sound in time (delays of {delays.astype(str).tolist()} samples), "
                f"expected less than a frame of {frame:g}: views must stay aligned, so choose "
                "another transform or setting."
            )


def _envelope(waveform: np.ndarray, hop: int) -> np.ndarray:
    """Return the log energy of windows of three hops, one per hop."""
    power = np.convolve(np.asarray(waveform, dtype=np.float64) ** 2, np.ones(3 * hop), "same")
    return np.log(power[::hop] + FLOOR)


def _correlations(stretches: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Return the correlation coefficient of each row of (places, hops) with `found` (hops,)."""
    stretches = stretches - stretches.mean(axis=1, keepdims=True)
    found = found - found.mean()
    scale = np.linalg.norm(stretches, axis=1) * np.linalg.norm(found)
    return stretches @ found / np.maximum(scale, 1e-12)
