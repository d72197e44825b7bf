"""What a test condition is: a distortion that each utterance gets the same every time."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import soundfile

from hf_rspin.audio import SAMPLING_RATE

CLEAN = "clean"


class Distortion(Protocol):
    """A condition: `distortion(waveform, utterance)` gives a waveform of the same length.

    The sound stays where it was, so that frame labels of the utterance stay valid. Silence stays
    silence, and one encoder frame (400 samples) is long enough.

    Attributes:
        name: how tables call it; also part of what decides the draws.
        snr_db: signal-to-noise ratio in dB; None where there is none.
    """

    name: str
    snr_db: float | None

    def __call__(self, waveform: np.ndarray, utterance: str) -> np.ndarray:
        """Distort (samples,) float32; the same utterance id always gets the same distortion."""


@runtime_checkable
class MadeOfRecordings(Protocol):
    """A condition that is more than what a few short sounds would tell: recordings, delays."""

    def material_key(self) -> str:
        """Return a hash of all recordings, or what else decides."""


@runtime_checkable
class Described(Protocol):
    """A condition that says in a few words how strong it is, or what it is made of."""

    def describe(self) -> str:
        """Return it with its unit, for captions: "below 2000 Hz"; "" for nothing to say."""


@dataclass(frozen=True)
class Clean:
    """The audio as it is."""

    name: str = CLEAN
    snr_db: None = None

    def __call__(self, waveform: np.ndarray, utterance: str) -> np.ndarray:
        """Return the waveform itself."""
        return waveform


def utterance_generator(seed: int, condition: str, utterance: str) -> np.random.Generator:
    """Return the generator of one utterance in one condition, whatever came before it."""
    names = [zlib.crc32(text.encode()) for text in (condition, utterance)]
    return np.random.default_rng(np.random.SeedSequence([seed, *names]))


def condition_fingerprint(condition: Distortion) -> str:
    """Return a hash of what a condition does: the levels of eight fixed sounds that went through.

    It tells other ratios, strengths and seeds apart, whatever the condition is made of, and other
    recordings by their content. Levels are rounded, so that other processors give the same hash.
    """
    digest = hashlib.sha256(f"{condition.name} {condition.snr_db}".encode())
    if isinstance(condition, MadeOfRecordings):
        digest.update(condition.material_key().encode())
    for index in range(8):
        sound = 0.1 * np.random.default_rng(index).standard_normal(SAMPLING_RATE // 2)
        heard = condition(sound.astype(np.float32), f"fingerprint {index}")
        levels = np.abs(heard[: 16 * (len(heard) // 16)]).reshape(16, -1).mean(axis=1)
        digest.update(np.round(levels, 4).astype(np.float32).tobytes())
    return digest.hexdigest()[:16]


def fingerprints(
    conditions: Sequence[Distortion],
) -> tuple[list[tuple[Distortion, str]], list[str]]:
    """Return the hash of each condition that can be made, and a sentence for each that cannot.

    Returns:
        Pairs of condition and hash (see `condition_fingerprint`), and the sentences.

    Raises:
        ValueError: none of several distortions can be made.
    """
    found, sentences = [], []
    for condition in conditions:
        try:
            found.append((condition, condition_fingerprint(condition)))
        except (ValueError, soundfile.LibsndfileError) as error:
            sentences.append(f"The condition {condition.name} is left out: {error}")
    if sentences and all(condition.name == CLEAN for condition, _ in found):
        raise ValueError(sentences[0])
    return found, sentences
