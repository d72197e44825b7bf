"""The condition of an overdriven microphone: the loudest samples are clipped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hf_rspin.evaluation.conditions.graded import GradedDistortion

CLIPPED_SHARES = (0.05, 0.1, 0.2, 0.4)


@dataclass(frozen=True)
class Clipping(GradedDistortion):
    """The loudest 5, 10, 20 or 40 % of the samples are cut down to the level of the next.

    Digital silence (samples of exactly 0) is not counted. What is not clipped keeps its level.
    """

    kind: ClassVar[str] = "clipping"

    def describe(self) -> str:
        """See `GradedDistortion`."""
        return f"{100 * self.share:g} % of samples"

    @property
    def share(self) -> float:
        """How many of the samples are clipped, 0 to 1."""
        return CLIPPED_SHARES[self.severity - 1]

    def __call__(self, waveform: np.ndarray, utterance: str) -> np.ndarray:
        """Clip (samples,)."""
        levels = np.abs(waveform[waveform != 0])
        if len(levels) == 0:
            return waveform.copy()
        most = np.quantile(levels, 1.0 - self.share).astype(np.float32)
        return np.clip(waveform, -most, most)
