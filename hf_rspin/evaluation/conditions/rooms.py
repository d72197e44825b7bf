"""The condition of rooms: reverberation, measured or simulated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from hf_rspin.audio import SAMPLING_RATE
from hf_rspin.data.fingerprint import audio_key
from hf_rspin.evaluation.conditions.base import utterance_generator
from hf_rspin.views.noise import reverberate, synthesize_room_response


@dataclass(frozen=True)
class Reverberation:
    """Reverberation; each utterance sounds in one of the rooms, so the score averages them.

    Args:
        responses: impulse responses (samples,) at 16 kHz, measured or simulated.
        seed: another one puts utterances into other rooms.
        name: how tables call it.
        snr_db: None; there is no noise.
        source: where the responses come from, for captions.

    Raises:
        ValueError: there is no response.
    """

    responses: Sequence[np.ndarray] = field(repr=False)
    seed: int = 0
    name: str = "reverb"
    snr_db: None = None
    source: str = field(default="", compare=False)

    def describe(self) -> str:
        """Return where the rooms come from."""
        return self.source

    def __post_init__(self) -> None:
        if len(self.responses) == 0:
            raise ValueError("got no room response; give measured ones, or simulate some.")

    def material_key(self) -> str:
        """Return a hash of all responses, rounded: processors differ in the last bit."""
        rounded = [np.round(response, 4).astype(np.float32) for response in self.responses]
        return audio_key(rounded, sampled=None)

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
