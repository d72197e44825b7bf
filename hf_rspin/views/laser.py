"""LASER's views: the utterance as it is, and faster or slower at another pitch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..audio import SAMPLING_RATE
from .noise import add_noise
from .noise_bank import NoiseBank
from .recipes import NoiseParameters, ViewPair
from .time_scale import change_speed_and_pitch

HUBERT_SPEEDS = (0.9, 1.0, 1.1)
WAVLM_SPEEDS = (0.80, 0.85, 0.9, 1.0, 1.1, 1.15, 1.20)
SCORE_WAVLM_SPEEDS = (0.85, 0.9, 1.0, 1.1, 1.15)
LATER_SPEEDS = (0.80, 0.85, 0.90, 0.95, 1.00, 1.05, 1.10, 1.15, 1.20)
LATER_SNRS_DB = (20.0, 10.0, 5.0)
SLOWEST, FASTEST = 0.5, 2.0
MOST_SEMITONES = 12.0


@dataclass(frozen=True)
class ViewNoise:
    """Noise for the second view, or for both, drawn independently.

    Attributes:
        bank: where it comes from.
        snrs_db: SNRs in dB to choose from: 20, 10 and 5 in the authors' later variant.
        snr_range_db: least and greatest SNR of a uniform draw instead: -10 to 10 in R-Spin.
        both_views: as R-Spin; False leaves the first view clean.

    Raises:
        ValueError: not one of `snrs_db` and `snr_range_db`, or an empty range.
    """

    bank: NoiseBank
    snrs_db: Sequence[float] | None = None
    snr_range_db: tuple[float, float] | None = None
    both_views: bool = False

    def __post_init__(self) -> None:
        if (self.snrs_db is None) == (self.snr_range_db is None):
            raise ValueError("give either snrs_db, a list, or snr_range_db, (least, greatest).")
        limits = self.snr_range_db if self.snrs_db is None else self.snrs_db
        if len(limits) == 0 or not np.isfinite(limits).all():
            raise ValueError(f"the SNRs are {limits}; expected finite numbers of dB.")
        if self.snr_range_db is not None and not limits[0] <= limits[1]:
            raise ValueError(f"snr_range_db is {limits}; expected (least, greatest) in dB.")

    def draw(
        self, generator: np.random.Generator, num_samples: int, utterance: str | None
    ) -> NoiseParameters:
        """Draw an SNR and (num_samples,) of noise."""
        if self.snrs_db is None:
            snr_db = float(generator.uniform(*self.snr_range_db))
        else:
            snr_db = float(self.snrs_db[int(generator.integers(len(self.snrs_db)))])
        return NoiseParameters(self.bank.draw(generator, num_samples, utterance), snr_db)


@dataclass(frozen=True)
class LaserParameters:
    """What one pair is made with; noise is None where there is none."""

    speed: float
    semitones: float
    clean_noise: NoiseParameters | None = None
    perturbed_noise: NoiseParameters | None = None


class LaserViews:
    """LASER's views: the second is resampled by a speed factor, then shifted by +-2 semitones.

    The speed changes length and pitch, the shift keeps the length. The views of a pair differ in
    length: `round(samples / speed)`. The authors' later variant is `LATER_SPEEDS`, no semitones
    and noise at `LATER_SNRS_DB`; with `ViewNoise(..., both_views=True)` R-Spin's noise is added.

    Args:
        speeds: drawn from uniformly.
        semitones: size of the pitch shift, up or down with equal chance; 0 for none.
        noise: noise on the second view or on both; None for none.
        sampling_rate: of the waveforms in Hz.

    Raises:
        ValueError: no speeds, a speed or shift out of range, or a bank of another rate.
    """

    def __init__(
        self,
        speeds: Sequence[float] = HUBERT_SPEEDS,
        semitones: float = 2.0,
        noise: ViewNoise | None = None,
        sampling_rate: int = SAMPLING_RATE,
    ) -> None:
        """Keep the settings; generators come with each call."""
        self.speeds = tuple(float(speed) for speed in speeds)
        if not self.speeds or not all(SLOWEST <= speed <= FASTEST for speed in self.speeds):
            raise ValueError(
                f"speeds are {list(self.speeds)}; expected a list of numbers from {SLOWEST} to "
                f"{FASTEST}, such as {list(HUBERT_SPEEDS)}."
            )
        if not 0 <= semitones <= MOST_SEMITONES:
            raise ValueError(f"semitones is {semitones}; expected 0 (none) to {MOST_SEMITONES:g}.")
        if noise is not None and noise.bank.sampling_rate != sampling_rate:
            raise ValueError(
                f"The noise bank has {noise.bank.sampling_rate} Hz, the views {sampling_rate} Hz: "
                "build both with the same rate."
            )
        self.semitones, self.noise, self.sampling_rate = float(semitones), noise, sampling_rate

    def draw_speed(self, perturbed_generator: np.random.Generator) -> float:
        """Draw the speed, the first draw of a pair: what batches by length must know before."""
        return self.speeds[int(perturbed_generator.integers(len(self.speeds)))]

    def draw(
        self,
        clean_generator: np.random.Generator,
        perturbed_generator: np.random.Generator,
        num_samples: int,
        utterance: str | None = None,
    ) -> LaserParameters:
        """Draw the parameters of one pair, noise last; no babble holds `utterance` itself."""
        speed = self.draw_speed(perturbed_generator)
        sign = 1.0 if perturbed_generator.random() < 0.5 else -1.0
        clean_noise = perturbed_noise = None
        if self.noise is not None and num_samples > 0:
            length = round(num_samples / speed)
            perturbed_noise = self.noise.draw(perturbed_generator, length, utterance)
            if self.noise.both_views:
                clean_noise = self.noise.draw(clean_generator, num_samples, utterance)
        return LaserParameters(speed, sign * self.semitones, clean_noise, perturbed_noise)

    def apply(self, waveform: np.ndarray, parameters: LaserParameters) -> ViewPair:
        """Make the two views of a waveform (samples,)."""
        clean = np.ascontiguousarray(waveform, dtype=np.float32)
        perturbed = change_speed_and_pitch(
            clean, self.sampling_rate, parameters.speed, parameters.semitones
        )
        return ViewPair(
            clean=_with_noise(clean, parameters.clean_noise),
            perturbed=_with_noise(perturbed, parameters.perturbed_noise),
            voice_changed=parameters.speed != 1.0 or parameters.semitones != 0.0,
        )

    def __call__(
        self,
        waveform: np.ndarray,
        generators: tuple[np.random.Generator, np.random.Generator],
        f0_range: tuple[float, float] | None = None,
        utterance: str | None = None,
    ) -> ViewPair:
        """Draw and apply; `generators` are those of the clean and of the perturbed view.

        `f0_range` is not used; `utterance` is the name of the waveform, which babble leaves out.
        """
        return self.apply(waveform, self.draw(*generators, len(waveform), utterance))


def _with_noise(waveform: np.ndarray, parameters: NoiseParameters | None) -> np.ndarray:
    if parameters is None:
        return waveform.copy()
    return add_noise(waveform, parameters.noise, parameters.snr_db)
