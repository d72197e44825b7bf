"""What a denoising student hears and its teachers did not: noise, or a second speaker.

As WavLM is pre-trained (arXiv 2110.13900, section IV-B): part of the utterances get noise or a
stretch of another utterance, the targets stay those of the clean speech.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hf_rspin.views.additive_noise import NoiseSource
from hf_rspin.views.noise import SILENT_POWER, add_noise, mean_power

LONGEST_SHARE = 0.5  # of an utterance that a second speaker talks over: the first one stays main


@dataclass(frozen=True)
class InputNoise:
    """Adds noise, or a second speaker, to some waveforms.

    Attributes:
        bank: where noise comes from; None: no noise.
        noise_probability: share of the utterances that get noise.
        speaker_probability: share of the others that get a second speaker.
        noise_snr_db: least and greatest SNR of noise.
        speaker_snr_db: least and greatest SNR of a second speaker.
    """

    bank: NoiseSource | None = None
    noise_probability: float = 0.5
    speaker_probability: float = 0.2
    noise_snr_db: tuple[float, float] = (-5.0, 20.0)
    speaker_snr_db: tuple[float, float] = (-5.0, 5.0)

    def __call__(
        self, waveform: np.ndarray, generator: np.random.Generator, other: np.ndarray | None
    ) -> np.ndarray:
        """Return (samples,) with or without an addition.

        Args:
            waveform: (samples,) at 16 kHz.
            generator: decides everything.
            other: (samples,) of another utterance; None: there is none.
        """
        has_noise, has_speaker = generator.random(2) < (
            self.noise_probability, self.speaker_probability
        )  # fmt: skip
        if has_noise and self.bank is not None:
            snr = float(generator.uniform(*self.noise_snr_db))
            return add_noise(waveform, self.bank.draw(generator, len(waveform)), snr)
        if has_speaker and other is not None and mean_power(other) > SILENT_POWER:
            return self._talk_over(waveform, generator, other)
        return waveform

    def _talk_over(
        self, waveform: np.ndarray, generator: np.random.Generator, other: np.ndarray
    ) -> np.ndarray:
        """Add a stretch of `other`, at most half as long as the waveform, at a random place."""
        length = int(generator.integers(1, int(LONGEST_SHARE * len(waveform)) + 1))
        start = int(generator.integers(0, len(waveform) - length + 1))
        source = int(generator.integers(0, max(len(other) - length, 0) + 1))
        part = other[source : source + length]
        snr = float(generator.uniform(*self.speaker_snr_db))
        ratio = mean_power(waveform) / mean_power(other) / 10 ** (snr / 10)
        mixed = waveform.copy()
        mixed[start : start + len(part)] += np.float32(np.sqrt(ratio)) * part
        return mixed
