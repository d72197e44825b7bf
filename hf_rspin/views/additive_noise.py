"""Background noise as a transform of a view: drawn from a bank, added at a random SNR."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from .noise import add_noise
from .transform import Transform, UtteranceInfo

LATER_SNRS_DB = (20.0, 10.0, 5.0)  # a later variant of LASER
RSPIN_SNR_RANGE_DB = (-10.0, 10.0)


@runtime_checkable
class NoiseSource(Protocol):
    """Where noise comes from, such as a `NoiseBank`."""

    sampling_rate: int

    def draw(
        self, generator: np.random.Generator, num_samples: int, utterance: str | None = None
    ) -> np.ndarray:
        """Draw audible noise (num_samples,); `utterance` stays out of babble."""


@dataclass(frozen=True)
class NoiseParameters:
    """Noise (samples,) to add and its SNR in dB."""

    noise: np.ndarray
    snr_db: float


@dataclass(frozen=True)
class AddNoise(Transform):
    """Noise from a bank at a random SNR.

    Attributes:
        bank: where it comes from.
        snrs_db: SNRs in dB to choose from: 20, 10 and 5 in the later variant of LASER.
        snr_range_db: least and greatest SNR of a uniform draw instead: -10 to 10 in R-Spin.
        both_views: whether `LaserViews` puts it on the first view too, drawn independently.

    Raises:
        TypeError: the bank is none.
        ValueError: not one of `snrs_db` and `snr_range_db`, or an empty range.
    """

    bank: NoiseSource
    snrs_db: Sequence[float] | None = None
    snr_range_db: tuple[float, float] | None = None
    both_views: bool = False

    name = "noise"

    def __post_init__(self) -> None:
        if not isinstance(self.bank, NoiseSource):
            raise TypeError(f"got {self.bank!r} as a noise bank, expected a NoiseBank: build one.")
        if (self.snrs_db is None) == (self.snr_range_db is None):
            raise ValueError("give either snrs_db, a list, or snr_range_db, (least, greatest).")
        limits = self.snr_range_db if self.snrs_db is None else self.snrs_db
        if np.ndim(limits) != 1 or len(limits) == 0 or not np.isfinite(limits).all():
            raise ValueError(f"the SNRs are {limits}; expected finite numbers of dB, a list.")
        if self.snr_range_db is not None and not (len(limits) == 2 and limits[0] <= limits[1]):
            raise ValueError(f"snr_range_db is {limits}; expected (least, greatest) in dB.")

    @property
    def sampling_rate(self) -> int:
        """Rate of the bank in Hz."""
        return self.bank.sampling_rate

    def draw(
        self, generator: np.random.Generator, utterance: UtteranceInfo
    ) -> NoiseParameters | None:
        """Draw an SNR and (num_samples,) of noise; nothing where there are no samples."""
        if utterance.num_samples == 0:
            return None
        if self.snrs_db is None:
            snr_db = float(generator.uniform(*self.snr_range_db))
        else:
            snr_db = float(self.snrs_db[int(generator.integers(len(self.snrs_db)))])
        noise = self.bank.draw(generator, utterance.num_samples, utterance.name)
        return NoiseParameters(noise, snr_db)

    def apply(self, waveform: np.ndarray, parameters: NoiseParameters) -> np.ndarray:
        """Add the noise to (samples,)."""
        return add_noise(waveform, parameters.noise, parameters.snr_db)
