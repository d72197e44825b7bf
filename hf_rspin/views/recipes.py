"""Two views of one utterance: what is drawn, then what is applied.

`SpinViews` leaves the first view clean and changes the speaker of the second; `RSpinViews` adds
independent noise to both. Each part can be switched off (R-Spin, Table 2).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..audio import SAMPLING_RATE
from .equalizer import EqualizerParameters, draw_equalizer, parametric_equalizer
from .noise import add_noise
from .noise_bank import NoiseBank
from .voice import VoiceParameters, change_voice, draw_voice


@dataclass(frozen=True)
class ViewPair:
    """Two waveforms (samples,) float32 of the same length and timing; unpacks into the two.

    Those of `LaserViews` differ in length: theirs is the same speech at another speed.

    `voice_skipped` is True where a change of voice was asked for and could not be made (silent,
    unvoiced or too short); `voice_changed` where it was made.
    """

    clean: np.ndarray
    perturbed: np.ndarray
    voice_changed: bool = False
    voice_skipped: bool = False

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield the clean, then the perturbed waveform."""
        return iter((self.clean, self.perturbed))


@dataclass(frozen=True)
class NoiseParameters:
    """Noise (samples,) to add and its SNR in dB."""

    noise: np.ndarray
    snr_db: float


@dataclass(frozen=True)
class ViewParameters:
    """Everything drawn for one pair; None where a part is switched off."""

    voice: VoiceParameters | None
    equalizer: EqualizerParameters | None
    clean_noise: NoiseParameters | None = None
    perturbed_noise: NoiseParameters | None = None


class SpinViews:
    """Spin's views: the second is another voice through another channel, clipped to [-1, 1].

    Args:
        sampling_rate: of the waveforms in Hz.
        change_voice: whether formants, pitch and pitch range change.
        equalize: whether the ten-band equaliser applies (also where the voice change is skipped).
    """

    def __init__(
        self, sampling_rate: int = SAMPLING_RATE, change_voice: bool = True, equalize: bool = True
    ) -> None:
        """Keep the settings; generators come with each call."""
        self.sampling_rate = sampling_rate
        self.change_voice = change_voice
        self.equalize = equalize

    def draw(
        self,
        clean_generator: np.random.Generator,
        perturbed_generator: np.random.Generator,
        num_samples: int,
        utterance: str | None = None,
    ) -> ViewParameters:
        """Draw the parameters of one pair; a switched-off part does not shift the other draws."""
        voice, equalizer = draw_voice(perturbed_generator), draw_equalizer(perturbed_generator)
        return ViewParameters(
            voice=voice if self.change_voice else None,
            equalizer=equalizer if self.equalize else None,
        )

    def apply(
        self,
        waveform: np.ndarray,
        parameters: ViewParameters,
        f0_range: tuple[float, float] | None = None,
    ) -> ViewPair:
        """Make the two views of a waveform (samples,); `f0_range` in Hz is estimated where None."""
        clean = np.ascontiguousarray(waveform, dtype=np.float32)
        perturbed, changed = clean, False
        if parameters.voice is not None:
            shift = change_voice(clean, self.sampling_rate, parameters.voice, f0_range)
            perturbed, changed = shift.waveform, shift.changed
        if parameters.equalizer is not None:
            perturbed = parametric_equalizer(
                perturbed,
                self.sampling_rate,
                parameters.equalizer.gains_db,
                parameters.equalizer.q,
            )
        if perturbed is not clean:
            perturbed = np.clip(perturbed, -1.0, 1.0)
        return ViewPair(
            clean=_with_noise(clean, parameters.clean_noise),
            perturbed=_with_noise(perturbed, parameters.perturbed_noise),
            voice_changed=changed,
            voice_skipped=parameters.voice is not None and not changed,
        )

    def __call__(
        self,
        waveform: np.ndarray,
        generators: tuple[np.random.Generator, np.random.Generator],
        f0_range: tuple[float, float] | None = None,
        utterance: str | None = None,
    ) -> ViewPair:
        """Draw and apply; `generators` are those of the clean and of the perturbed view.

        `utterance` is the name of the waveform, which babble then leaves out.
        """
        return self.apply(waveform, self.draw(*generators, len(waveform), utterance), f0_range)


class RSpinViews(SpinViews):
    """R-Spin's views: Spin's, then noise on both, drawn independently, at SNR U(-10, 10) dB.

    Args:
        noise_bank: where noise comes from; None switches the noise off.
        snr_range_db: least and greatest SNR in dB.
        sampling_rate: see `SpinViews`.
        change_voice: see `SpinViews`.
        equalize: see `SpinViews`.

    Raises:
        ValueError: the SNR range is not (least, greatest), or the bank has another rate.
    """

    def __init__(
        self,
        noise_bank: NoiseBank | None,
        snr_range_db: tuple[float, float] = (-10.0, 10.0),
        sampling_rate: int = SAMPLING_RATE,
        change_voice: bool = True,
        equalize: bool = True,
    ) -> None:
        """Keep the settings and check that they fit together."""
        super().__init__(sampling_rate, change_voice, equalize)
        if not snr_range_db[0] <= snr_range_db[1]:
            raise ValueError(f"snr_range_db is {snr_range_db}, expected (least, greatest) in dB.")
        if noise_bank is not None and noise_bank.sampling_rate != sampling_rate:
            raise ValueError(
                f"The noise bank has {noise_bank.sampling_rate} Hz, the views {sampling_rate} Hz: "
                "build both with the same rate."
            )
        self.noise_bank = noise_bank
        self.snr_range_db = snr_range_db

    def draw(
        self,
        clean_generator: np.random.Generator,
        perturbed_generator: np.random.Generator,
        num_samples: int,
        utterance: str | None = None,
    ) -> ViewParameters:
        """Draw the parameters of one pair, noise last; no babble holds `utterance` itself."""
        spin = super().draw(clean_generator, perturbed_generator, num_samples, utterance)
        if self.noise_bank is None or num_samples == 0:
            return spin
        return ViewParameters(
            voice=spin.voice,
            equalizer=spin.equalizer,
            clean_noise=self._draw_noise(clean_generator, num_samples, utterance),
            perturbed_noise=self._draw_noise(perturbed_generator, num_samples, utterance),
        )

    def _draw_noise(
        self, generator: np.random.Generator, num_samples: int, utterance: str | None
    ) -> NoiseParameters:
        snr_db = float(generator.uniform(*self.snr_range_db))
        return NoiseParameters(self.noise_bank.draw(generator, num_samples, utterance), snr_db)


def _with_noise(waveform: np.ndarray, parameters: NoiseParameters | None) -> np.ndarray:
    if parameters is None:
        return waveform.copy()
    return add_noise(waveform, parameters.noise, parameters.snr_db)
