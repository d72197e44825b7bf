"""Transforms of the audiomentations library as transforms of a view.

That library draws from the global generators of `random` and `numpy.random`. Here each utterance
draws a seed from the generator of its view; the global generators are set to it for the call and
then put back, so that views stay reproducible and nothing else in the process notices.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..audio import FRAME_WINDOW, SAMPLING_RATE
from .alignment import check_alignment
from .transform import Transform, UtteranceInfo

_GLOBAL_GENERATORS = threading.Lock()
NUM_PROBES = 16  # draws whose timing is measured


class Audiomentation(Transform):
    """One transform (or composition) of audiomentations, drawn with the generator of the view.

    Its own probability `p` decides how often it is applied. Its timing is measured when it is put
    into the list: what changes the length or delays a part by a frame is refused. Waveforms under
    one encoder frame (400 samples) are left as they are.

    Args:
        transform: an object of audiomentations, or the name of a class of it with `options`.
        sampling_rate: of the waveforms in Hz.
        **options: of the class, such as `p=1.0`.

    Raises:
        ValueError: there is no such class, it needs another package, its parameters are frozen, or
            it moves sound in time.

    Example:
        >>> filter_ = Audiomentation("LowPassFilter", min_cutoff_freq=2000, zero_phase=True, p=1.0)
    """

    def __init__(
        self,
        transform: str | Callable[[np.ndarray, int], np.ndarray],
        sampling_rate: int = SAMPLING_RATE,
        **options: Any,
    ):
        if isinstance(transform, str):
            transform = _built(transform, options)
        elif options:
            raise ValueError(f"got options {sorted(options)} of an object: give a class's name.")
        if getattr(transform, "are_parameters_frozen", False):
            raise ValueError(
                f"got {type(transform).__name__} with frozen parameters, which belong to the first "
                "waveform it met: call its unfreeze_parameters() first."
            )
        self.transform, self.sampling_rate = transform, sampling_rate
        self.name = type(transform).__name__
        try:
            check_alignment(self, NUM_PROBES)
        except ImportError as error:
            raise ValueError(
                f"{self.name} needs {error.name}: pip install 'audiomentations[extras]'."
            ) from error

    def draw(self, generator: np.random.Generator, utterance: UtteranceInfo) -> int:
        """Draw the seed of everything that the library will draw."""
        return int(generator.integers(2**32))

    def apply(self, waveform: np.ndarray, parameters: int) -> np.ndarray:
        """Apply the transform to (samples,); the input itself where it was not to be applied."""
        if len(waveform) < FRAME_WINDOW:
            return waveform
        samples = waveform.copy()  # some transforms work in place
        with _seeded(parameters):
            output = self.transform(samples, sample_rate=self.sampling_rate)
        return waveform if output is samples else np.asarray(output, dtype=np.float32)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Set the global generators for a block of one thread, and put them back."""
    with _GLOBAL_GENERATORS:
        states = random.getstate(), np.random.get_state()
        try:
            random.seed(seed)
            np.random.seed(seed)
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])


def _built(name: str, options: dict[str, Any]) -> Callable[[np.ndarray, int], np.ndarray]:
    import audiomentations  # takes a second, and most views do without

    found = getattr(audiomentations, name, None)
    if not isinstance(found, type):
        raise ValueError(
            f"got {name!r}, expected a class of audiomentations such as 'LowPassFilter': see "
            "https://iver56.github.io/audiomentations."
        )
    return found(**options)


def band_limit(sampling_rate: int = SAMPLING_RATE) -> Audiomentation:
    """Return a low-pass filter at 1.5 to 6 kHz, run both ways: no phase, no delay."""
    return Audiomentation(
        "LowPassFilter",
        sampling_rate,
        min_cutoff_freq=1500.0,
        max_cutoff_freq=6000.0,
        min_rolloff=24,
        max_rolloff=48,
        zero_phase=True,
        p=1.0,
    )


def clipping(sampling_rate: int = SAMPLING_RATE) -> Audiomentation:
    """Return an overdriven microphone: the loudest 0 to 20 % of the samples are clipped."""
    return Audiomentation(
        "ClippingDistortion",
        sampling_rate,
        min_percentile_threshold=0,
        max_percentile_threshold=20,
        p=1.0,
    )
