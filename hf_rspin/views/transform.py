"""What a view is made of: a transform draws its parameters and applies them to a waveform.

What is drawn depends on the generator alone, never on the waveform or on who draws, so that a run
is reproduced by its keys (seed, epoch, index, view).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..audio import SAMPLING_RATE


@dataclass(frozen=True)
class UtteranceInfo:
    """What a transform may know when it draws.

    Attributes:
        num_samples: length of the waveform that `apply` will get.
        name: id of the utterance, which babble leaves out; None where it has none.
        f0_range: (floor, ceiling) of the voice in Hz; None to estimate it.
    """

    num_samples: int
    name: str | None = None
    f0_range: tuple[float, float] | None = None


class Transform:
    """One change of a waveform, drawn and then applied.

    A new view is a subclass with `name` and `apply`, and `draw` where something is random:

        class Fade(Transform):
            name = "fade"

            def draw(self, generator, utterance):
                return generator.uniform(0.0, 1.0)  # gain of the last sample

            def apply(self, waveform, parameters):
                gains = np.linspace(1.0, parameters, len(waveform), dtype=np.float32)
                return gains * waveform

    `draw` returns None where nothing is to be applied this time. `apply` keeps the timing: the
    output is as long as `output_length` says (by default as the input), with no delay. Where it
    cannot change a waveform it returns the input itself, which counts as skipped.
    """

    name = "transform"
    sampling_rate = SAMPLING_RATE
    keeps_timing = True  # False where the same sound lies elsewhere, at another speed

    def draw(self, generator: np.random.Generator, utterance: UtteranceInfo) -> Any:
        """Draw the parameters of one utterance; None applies nothing."""
        return ()

    def apply(self, waveform: np.ndarray, parameters: Any) -> np.ndarray:
        """Change (samples,) finite float32 in a new array, or return the input where skipped."""
        raise NotImplementedError(f"{type(self).__name__} has no apply(waveform, parameters).")

    def output_length(self, num_samples: int, parameters: Any) -> int:
        """Return the samples that `apply` gives for `num_samples`."""
        return num_samples


class DrawOnly(Transform):
    """A transform that is switched off: it draws, so that the draws after it stay the same."""

    def __init__(self, transform: Transform):
        self.transform, self.name = transform, transform.name
        self.sampling_rate = transform.sampling_rate

    def draw(self, generator: np.random.Generator, utterance: UtteranceInfo) -> None:
        """Draw, and apply nothing."""
        self.transform.draw(generator, utterance)


class Sometimes(Transform):
    """A transform that is applied with a probability, else left out.

    Raises:
        ValueError: the probability is not from 0 to 1.
    """

    def __init__(self, transform: Transform, probability: float):
        if not 0.0 <= probability <= 1.0:
            raise ValueError(f"got probability {probability} of {transform.name}, expected 0 to 1.")
        self.transform, self.probability = transform, probability
        self.name, self.sampling_rate = transform.name, transform.sampling_rate
        self.keeps_timing = transform.keeps_timing

    def draw(self, generator: np.random.Generator, utterance: UtteranceInfo) -> Any:
        """Draw whether, then the parameters."""
        if generator.random() >= self.probability:
            return None
        return self.transform.draw(generator, utterance)

    def apply(self, waveform: np.ndarray, parameters: Any) -> np.ndarray:
        """Apply the transform."""
        return self.transform.apply(waveform, parameters)

    def output_length(self, num_samples: int, parameters: Any) -> int:
        """Return the transform's."""
        return self.transform.output_length(num_samples, parameters)


class Clip(Transform):
    """Limits a waveform to [-1, 1]."""

    name = "clip"

    def __init__(self, sampling_rate: int = SAMPLING_RATE):
        self.sampling_rate = sampling_rate

    def apply(self, waveform: np.ndarray, parameters: tuple) -> np.ndarray:
        """Clip (samples,)."""
        return np.clip(waveform, -1.0, 1.0)


def check_waveform(waveform: np.ndarray, what: str) -> np.ndarray:
    """Return a waveform (samples,) of finite floats, contiguous, in float32 or float64.

    Raises:
        ValueError: it is anything else, or of samples so huge that their power overflows; the
            sentence begins with `what`.
    """
    samples = np.asarray(waveform)
    if samples.ndim != 1:
        raise ValueError(
            f"{what} got a waveform of shape {samples.shape}, expected (samples,): average or "
            "split the channels first."
        )
    if samples.dtype.kind != "f":
        raise ValueError(
            f"{what} got a waveform of {samples.dtype}, expected floats from -1 to 1: divide "
            "16-bit samples by 32768 first."
        )
    samples = np.ascontiguousarray(
        samples, np.float64 if samples.dtype == np.float64 else np.float32
    )
    if not all_finite(samples):
        raise ValueError(
            f"{what} got a waveform with NaN, infinite or huge samples, expected -1 to 1: drop it "
            "or replace them first."
        )
    return samples


def all_finite(waveform: np.ndarray) -> bool:
    """Return whether (samples,) holds no NaN, no infinity and nothing that overflows squared."""
    with np.errstate(over="ignore"):
        return bool(np.isfinite(np.dot(waveform, waveform)))  # a third of the time of isfinite


def check_rate(sampling_rate: float, what: str) -> None:
    """Refuse what is no sampling rate.

    Raises:
        ValueError: it is not a finite number of Hz above 0; the sentence begins with `what`.
    """
    if not 0 < sampling_rate < np.inf:
        raise ValueError(f"{what} got a sampling rate of {sampling_rate} Hz, expected above 0.")
