"""The condition of another voice height: all of the spectrum is moved up or down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hf_rspin.audio import SAMPLING_RATE
from hf_rspin.evaluation.conditions.base import utterance_generator
from hf_rspin.evaluation.conditions.graded import GradedDistortion
from hf_rspin.views.speed_pitch import change_speed_and_pitch

SEMITONES = (1.0, 2.0, 4.0, 6.0)


@dataclass(frozen=True)
class PitchShift(GradedDistortion):
    """Pitch and formants 1, 2, 4 or 6 semitones up or down, drawn by the utterance id.

    By `change_speed_and_pitch`; sounds stay where they are, within its windows of 30 ms. There is
    no condition of another speed: it would move the times of phones.

    Args:
        severity: 1 to 4, see `SEMITONES`.
        seed: another one draws other directions.
    """

    kind: ClassVar[str] = "pitch"
    seed: int = 0

    def describe(self) -> str:
        """See `GradedDistortion`."""
        return f"{SEMITONES[self.severity - 1]:g} semitones up or down"

    def __call__(self, waveform: np.ndarray, utterance: str) -> np.ndarray:
        """Shift (samples,)."""
        up = utterance_generator(self.seed, self.kind, utterance).random() < 0.5
        semitones = SEMITONES[self.severity - 1] * (1 if up else -1)
        return change_speed_and_pitch(waveform, SAMPLING_RATE, 1.0, semitones)
