"""Random ten-band parametric equaliser: the channel part of the speaker perturbation.

Audio-EQ-Cookbook biquads (R. Bristow-Johnson): a low shelf, eight peaking bands, a high shelf,
in series, at centre frequencies spaced logarithmically from 60 to 7600 Hz, as Spin does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.signal

from ..audio import SAMPLING_RATE
from .transform import Transform, UtteranceInfo, check_waveform

NUM_BANDS = 10
LOWEST_CENTRE_HZ, HIGHEST_CENTRE_HZ = 60.0, 7600.0
CENTRE_FREQUENCIES_HZ = np.geomspace(LOWEST_CENTRE_HZ, HIGHEST_CENTRE_HZ, NUM_BANDS)
MAX_GAIN_DB = 12.0
MIN_Q, MAX_Q_RATIO = 2.0, 2.5


@dataclass(frozen=True)
class EqualizerParameters:
    """What one call of the equaliser applies: `gains_db` (10,) in dB and `q` (10,)."""

    gains_db: np.ndarray
    q: np.ndarray


def draw_equalizer(generator: np.random.Generator) -> EqualizerParameters:
    """Draw Q = 2 * 2.5^U(0, 1) and gain U(-12, 12) dB for each band (Spin's ranges)."""
    q = MIN_Q * MAX_Q_RATIO ** generator.uniform(0.0, 1.0, NUM_BANDS)
    gains_db = generator.uniform(-MAX_GAIN_DB, MAX_GAIN_DB, NUM_BANDS)
    return EqualizerParameters(gains_db=gains_db, q=q)


def parametric_equalizer(
    waveform: np.ndarray, sampling_rate: int, gains_db: np.ndarray, q: np.ndarray
) -> np.ndarray:
    """Filter a waveform with the ten bands in series.

    Args:
        waveform: (samples,) finite, any level.
        sampling_rate: in Hz, above 15,200 (the last band is centred on 7,600 Hz).
        gains_db: (10,) gain of each band in dB.
        q: (10,) quality factor of each band, above 0.

    Returns:
        (samples,) in float64 where `waveform` is float64, else float32. Not clipped.

    Raises:
        ValueError: the waveform, a quality factor or the sampling rate is not as above.
    """
    sections = equalizer_sections(sampling_rate, gains_db, q)
    samples = check_waveform(waveform, "The equaliser")
    if len(samples) == 0:  # which sosfilt does not take
        return samples.copy()
    # in float64 whatever the input: low bands lose precision in float32
    return scipy.signal.sosfilt(sections, samples).astype(samples.dtype, copy=False)


def equalizer_sections(sampling_rate: int, gains_db: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Return the second-order sections (10, 6): b0 b1 b2 1 a1 a2 of each band.

    Raises:
        ValueError: see `parametric_equalizer`.
    """
    gains_db = np.asarray(gains_db, dtype=np.float64)
    q = np.asarray(q, dtype=np.float64)
    _check_parameters(sampling_rate, gains_db, q)
    amplitude = 10.0 ** (gains_db / 40.0)
    angle = 2.0 * np.pi * CENTRE_FREQUENCIES_HZ / sampling_rate
    cosine, alpha = np.cos(angle), np.sin(angle) / (2.0 * q)
    sections = np.stack(
        [1 + alpha * amplitude, -2 * cosine, 1 - alpha * amplitude]
        + [1 + alpha / amplitude, -2 * cosine, 1 - alpha / amplitude],
        axis=1,
    )  # (10, 6), all peaking
    for band, sign in ((0, 1.0), (NUM_BANDS - 1, -1.0)):
        sections[band] = _shelf(amplitude[band], cosine[band], alpha[band], sign)
    return sections / sections[:, 3:4]


def _check_parameters(sampling_rate: int, gains_db: np.ndarray, q: np.ndarray) -> None:
    if gains_db.shape != (NUM_BANDS,) or q.shape != (NUM_BANDS,):
        raise ValueError(
            f"The equaliser got gains_db of shape {gains_db.shape} and q of shape {q.shape}, "
            f"expected ({NUM_BANDS},) each: one value per band."
        )
    if not (np.isfinite(gains_db).all() and np.isfinite(q).all() and (q > 0).all()):
        raise ValueError("The equaliser needs finite gains_db and finite q above 0.")
    if not 2 * HIGHEST_CENTRE_HZ < sampling_rate < np.inf:
        raise ValueError(
            f"The equaliser got a sampling rate of {sampling_rate} Hz, expected more than "
            f"{2 * HIGHEST_CENTRE_HZ:.0f} Hz: resample to 16 kHz first."
        )


def _shelf(a: float, cosine: float, alpha: float, sign: float) -> np.ndarray:
    """Return unnormalised b0 b1 b2 a0 a1 a2 of a low (sign 1) or high (sign -1) shelf."""
    plus, minus, slope = a + 1, sign * (a - 1), 2 * np.sqrt(a) * alpha
    return np.array(
        [
            a * (plus - minus * cosine + slope),
            2 * a * (minus - plus * cosine),
            a * (plus - minus * cosine - slope),
            plus + minus * cosine + slope,
            -2 * (minus + plus * cosine),
            plus + minus * cosine - slope,
        ]
    )


class Equalizer(Transform):
    """Spin's channel: ten bands with random gains and widths; not clipped."""

    name = "equalizer"

    def __init__(self, sampling_rate: int = SAMPLING_RATE):
        self.sampling_rate = sampling_rate

    def draw(
        self, generator: np.random.Generator, utterance: UtteranceInfo
    ) -> EqualizerParameters:
        """Draw a gain and a width for each band."""
        return draw_equalizer(generator)

    def apply(self, waveform: np.ndarray, parameters: EqualizerParameters) -> np.ndarray:
        """Filter (samples,)."""
        return parametric_equalizer(
            waveform, self.sampling_rate, parameters.gains_db, parameters.q
        )
