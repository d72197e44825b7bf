"""The condition of a line or a hall that answers: one echo, late enough to be heard as one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hf_rspin.audio import SAMPLING_RATE
from hf_rspin.evaluation.conditions.graded import GradedDistortion

DELAYS_SECONDS = (0.125, 0.25, 0.5, 1.0)
GAIN_DB = -6.0


@dataclass(frozen=True)
class Echo(GradedDistortion):
    """The same speech again 125, 250, 500 or 1000 ms later, 6 dB below.

    What comes after the end of the utterance is cut; one that is shorter than the delay stays as
    it is.
    """

    kind: ClassVar[str] = "echo"

    def describe(self) -> str:
        """See `GradedDistortion`."""
        return f"after {1000 * self.delay_seconds:g} ms"

    def material_key(self) -> str:
        """Return what the sounds of `condition_fingerprint` are too short to tell."""
        return f"{self.delay_seconds}"

    @property
    def delay_seconds(self) -> float:
        """How much later the echo is."""
        return DELAYS_SECONDS[self.severity - 1]

    def __call__(self, waveform: np.ndarray, utterance: str) -> np.ndarray:
        """Add the echo to (samples,)."""
        delay, gain = round(self.delay_seconds * SAMPLING_RATE), np.float32(10 ** (GAIN_DB / 20))
        heard = waveform.astype(np.float32)  # a copy
        heard[delay:] += gain * waveform[: max(0, len(waveform) - delay)]
        return heard
