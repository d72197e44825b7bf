"""Conditions that add noise at a fixed ratio: white, recorded, or the babble of other speakers."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from hf_rspin.audio import AudioError
from hf_rspin.data.fingerprint import audio_key
from hf_rspin.evaluation.conditions.base import utterance_generator
from hf_rspin.views.noise import (
    SILENT_POWER,
    add_noise,
    babble,
    fit_length,
    gaussian_noise,
    mean_power,
)
from hf_rspin.views.noise_bank import NoiseBank

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class GaussianNoise:
    """White Gaussian noise at a fixed SNR in dB; never part of training."""

    snr_db: float = 0.0
    seed: int = 0
    name: str = "gaussian"

    def __call__(self, waveform: np.ndarray, utterance: str) -> np.ndarray:
        """Add the noise."""
        rng = utterance_generator(self.seed, self.name, utterance)
        return add_noise(waveform, gaussian_noise(rng, len(waveform)), self.snr_db)


@dataclass(frozen=True)
class BackgroundNoise:
    """Recorded noise from a bank at a fixed SNR in dB over the utterance.

    Args:
        bank: recordings.
        snr_db: power of the speech over that of the noise.
        seed: another one draws other noise.
        name: how tables call it.
        source: where the recordings come from, for captions.
    """

    bank: NoiseBank
    snr_db: float = 0.0
    seed: int = 0
    name: str = "noise"
    source: str = field(default="", compare=False)

    def describe(self) -> str:
        """Return where the noise comes from."""
        return self.source

    def material_key(self) -> str:
        """Return a hash of all recordings of the bank."""
        return audio_key([*self.bank.sources, *self.bank.speech_sources], sampled=None)

    def __call__(self, waveform: np.ndarray, utterance: str) -> np.ndarray:
        """Add a segment of one recording, drawn by the utterance id."""
        rng = utterance_generator(self.seed, self.name, utterance)
        noise = self.bank.draw(rng, len(waveform), utterance)
        return add_noise(waveform, noise, self.snr_db)


class SpeechPool(Protocol):
    """Utterances to mix babble from, such as an `EvaluationSet`."""

    ids: Sequence[str]
    speakers: Sequence[str | None] | None

    def read(self, index: int) -> np.ndarray:
        """Return the waveform (samples,) of one utterance."""


@dataclass(frozen=True)
class Babble:
    """Several voices at once, at equal levels, at a fixed SNR in dB over the utterance.

    They say different utterances of the pool, drawn by the utterance id: never the utterance
    itself, and nothing by its own speaker where that is known. Each starts at a random place and
    is repeated where it is short.

    Args:
        pool: the train or the test utterances, read again for every utterance unless it keeps them.
        snr_db: power of the speech over that of all voices together.
        seed: another one draws other voices.
        voices: how many.
        name: how tables call it.
        speakers: who says each test utterance (id -> speaker), where those are not in the pool.

    Raises:
        ValueError: there are fewer voices to draw for some speaker.

    Example:
        >>> from hf_rspin.evaluation import EvaluationSet
        >>> Babble(EvaluationSet.from_corpus(load_sample("train")), snr_db=0.0).name
        'babble'
    """

    pool: SpeechPool = field(repr=False)
    snr_db: float = 0.0
    seed: int = 0
    voices: int = 4
    name: str = "babble"
    speakers: Mapping[str, str | None] | None = field(default=None, repr=False)
    _known: Mapping[str, str | None] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        ids, by_pool = self.pool.ids, self.pool.speakers or [None] * len(self.pool.ids)
        known = {**(self.speakers or {}), **dict(zip(ids, by_pool, strict=True))}
        object.__setattr__(self, "_known", known)
        heard = self.speakers.values() if self.speakers is not None else by_pool
        counts = Counter(speaker for speaker in by_pool if speaker is not None)
        own = max((counts[speaker] for speaker in heard), default=0)
        left = len(ids) - max(own, 1)
        if not 1 <= self.voices <= left:
            raise ValueError(
                f"got babble of {self.voices} voices from a pool of {len(ids)} utterances, of which"
                f" {max(left, 0)} are by others than the speaker who is tested: give more "
                "utterances by other speakers, or ask for 1 or more and fewer voices."
            )

    def describe(self) -> str:
        """Return how many voices it is."""
        return f"{self.voices} voices"

    def material_key(self) -> str:
        """Return a hash of who may be heard."""
        speakers = self.pool.speakers or [None] * len(self.pool.ids)
        return repr([*zip(self.pool.ids, speakers, strict=True)])

    def __call__(self, waveform: np.ndarray, utterance: str) -> np.ndarray:
        """Add the babble.

        Raises:
            ValueError: too few utterances of the pool can be read and heard.
        """
        rng = utterance_generator(self.seed, self.name, utterance)
        voices = []
        for index in rng.permutation(self.others(utterance)).tolist():
            voice = self._segment(index, len(waveform), rng)
            voices += [] if voice is None else [voice]
            if len(voices) == self.voices:
                return add_noise(waveform, babble(voices, len(waveform)), self.snr_db)
        raise ValueError(
            f"got {len(voices)} audible utterances for babble behind {utterance}, expected "
            f"{self.voices}: give more utterances by other speakers."
        )

    def others(self, utterance: str) -> list[int]:
        """Return the places in the pool of what may be heard behind an utterance."""
        own = self._known.get(utterance)
        speakers = self.pool.speakers or [None] * len(self.pool.ids)
        return [
            place
            for place, (name, speaker) in enumerate(zip(self.pool.ids, speakers, strict=True))
            if name != utterance and (own is None or speaker != own)
        ]

    def _segment(self, index: int, num_samples: int, rng: np.random.Generator) -> np.ndarray | None:
        """Return a part of an utterance of the pool; None where it is silent or damaged."""
        try:
            voice = fit_length(self.pool.read(index), num_samples, rng)
        except AudioError as error:
            logger.warning("Babble leaves out %s: %s", self.pool.ids[index], error)
            return None
        return voice if mean_power(voice) > SILENT_POWER else None
