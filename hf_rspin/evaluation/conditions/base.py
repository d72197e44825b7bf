"""Test conditions: what happens to the audio of a test utterance, the same every time."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from hf_rspin.audio import SAMPLING_RATE
from hf_rspin.views.noise import (
    add_noise,
    gaussian_noise,
    reverberate,
    synthesize_room_response,
)
from hf_rspin.views.noise_bank import NoiseBank

CLEAN = "clean"


class Distortion(Protocol):
    """A condition: `distortion(waveform, utterance)` gives a waveform of the same length.

    Attributes:
        name: how tables call it; also part of what decides the draws.
        snr_db: signal-to-noise ratio in dB; None where there is none.
    """

    name: str
    snr_db: float | None

    def __call__(self, waveform: np.ndarray, utterance: str) -> np.ndarray:
        """Distort (samples,) float32; the same utterance id always gets the same distortion."""


@dataclass(frozen=True)
class Clean:
    """The audio as it is."""

    name: str = CLEAN
    snr_db: None = None

    def __call__(self, waveform: np.ndarray, utterance: str) -> np.ndarray:
        """Return the waveform itself."""
        return waveform


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
    """Recorded noise from a bank at a fixed SNR in dB over the utterance."""

    bank: NoiseBank
    snr_db: float = 0.0
    seed: int = 0
    name: str = "noise"

    def __call__(self, waveform: np.ndarray, utterance: str) -> np.ndarray:
        """Add a segment of one recording, drawn by the utterance id."""
        rng = utterance_generator(self.seed, self.name, utterance)
        noise = self.bank.draw(rng, len(waveform), utterance)
        return add_noise(waveform, noise, self.snr_db)


@dataclass(frozen=True)
class Reverberation:
    """Reverberation; each utterance sounds in one of the rooms, so the score averages them.

    Args:
        responses: impulse responses (samples,) at 16 kHz, measured or simulated.
    """

    responses: Sequence[np.ndarray] = field(repr=False)
    seed: int = 0
    name: str = "rooms"
    snr_db: None = None

    def __post_init__(self) -> None:
        if len(self.responses) == 0:
            raise ValueError("got no room response; give measured ones, or simulate some.")

    def __call__(self, waveform: np.ndarray, utterance: str) -> np.ndarray:
        """Convolve with the response of the utterance's room."""
        rng = utterance_generator(self.seed, self.name, utterance)
        return reverberate(waveform, self.responses[int(rng.integers(len(self.responses)))])


def synthesize_rirs(count: int, seed: int = 0) -> list[np.ndarray]:
    """Return `count` synthetic room responses with reverberation times from 0.3 to 1.2 s."""
    times = np.linspace(0.3, 1.2, count)
    return [
        synthesize_room_response(np.random.default_rng([seed, index]), SAMPLING_RATE, float(t60))
        for index, t60 in enumerate(times)
    ]


def utterance_generator(seed: int, condition: str, utterance: str) -> np.random.Generator:
    """Return the generator of one utterance in one condition, whatever came before it."""
    names = [zlib.crc32(text.encode()) for text in (condition, utterance)]
    return np.random.default_rng(np.random.SeedSequence([seed, *names]))


def condition_fingerprint(condition: Distortion) -> str:
    """Return a hash of what a condition does: the levels of eight fixed sounds that went through.

    It tells other noise recordings, rooms, ratios and seeds apart, whatever the condition is made
    of. Levels are rounded, so that other processors give the same hash.
    """
    digest = hashlib.sha256(f"{condition.name} {condition.snr_db}".encode())
    for index in range(8):
        sound = 0.1 * np.random.default_rng(index).standard_normal(SAMPLING_RATE // 2)
        heard = condition(sound.astype(np.float32), f"fingerprint {index}")
        levels = np.abs(heard[: 16 * (len(heard) // 16)]).reshape(16, -1).mean(axis=1)
        digest.update(np.round(levels, 4).astype(np.float32).tobytes())
    return digest.hexdigest()[:16]
