"""Random ten-band parametric equaliser: the channel part of the speaker perturbation.

Audio-EQ-Cookbook biquads (R. Bristow-Johnson): a low shelf, eight peaking bands, a high shelf,
in series, at centre frequencies spaced logarithmically from 60 to 7600 Hz, as Spin does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

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
        waveform: (samples,), any level.
        sampling_rate: in Hz, above 15,200 (the last band is centred on 7,600 Hz).
        gains_db: (10,) gain of each band in dB.
        q: (10,) quality factor of each band, above 0.

    Returns:
        (samples,) in float64 where `waveform` is float64, else float32. Not clipped.

    Raises:
        ValueError: a shape, a quality factor or the sampling rate is not as above.
    """
    sections = equalizer_sections(sampling_rate, gains_db, q)
    waveform = np.asarray(waveform)
    if waveform.ndim != 1:
        raise ValueError(
            f"The equaliser got a waveform of shape {waveform.shape}, expected (samples,): "
            "average or split the channels first."
        )
    dtype = np.float64 if waveform.dtype == np.float64 else np.float32
    output = np.empty(len(waveform), dtype=dtype)
    _cascade(np.ascontiguousarray(waveform, dtype=dtype), sections, output)
    return output


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
    if sampling_rate <= 2 * HIGHEST_CENTRE_HZ:
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


@numba.njit(cache=True, nogil=True)
def _cascade(waveform: np.ndarray, sections: np.ndarray, output: np.ndarray) -> None:
    """Run the sections (transposed direct form II) in float64, sample by sample."""
    num_sections = len(sections)
    first = np.zeros(num_sections)
    second = np.zeros(num_sections)
    for n in range(len(waveform)):
        value = np.float64(waveform[n])
        for k in range(num_sections):
            filtered = sections[k, 0] * value + first[k]
            first[k] = sections[k, 1] * value - sections[k, 4] * filtered + second[k]
            second[k] = sections[k, 2] * value - sections[k, 5] * filtered
            value = filtered
        output[n] = value
