"""A view is a list of transforms; two lists make two views of one utterance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..audio import SAMPLING_RATE
from .transform import Transform, UtteranceInfo, all_finite, check_waveform


class Chain(Transform):
    """Transforms one after the other; draws are made in their order.

    Raises:
        TypeError: one of them is not a `Transform`.
        ValueError: they work at different sampling rates.
    """

    def __init__(self, transforms: Sequence[Transform], name: str = "chain"):
        for transform in transforms:
            if not isinstance(transform, Transform):
                raise TypeError(
                    f"got {transform!r} in a list of transforms, expected a Transform: name one of "
                    "build_views, or subclass hf_rspin.views.Transform."
                )
        self.transforms, self.name = tuple(transforms), name
        rates = [transform.sampling_rate for transform in transforms]
        if len(set(rates)) > 1:
            found = ", ".join(f"{t.name} {t.sampling_rate} Hz" for t in transforms)
            raise ValueError(f"got transforms of several rates ({found}), expected the same rate.")
        self.sampling_rate = rates[0] if rates else SAMPLING_RATE
        self.keeps_timing = all(transform.keeps_timing for transform in transforms)

    def draw(self, generator: np.random.Generator, utterance: UtteranceInfo) -> tuple:
        """Draw the parameters of each transform, told the length that reaches it."""
        drawn, length = [], utterance.num_samples
        for transform in self.transforms:
            reached = UtteranceInfo(length, utterance.name, utterance.f0_range)
            parameters = transform.draw(generator, reached)
            if parameters is not None:
                length = transform.output_length(length, parameters)
            drawn.append(parameters)
        return tuple(drawn)

    def apply(self, waveform: np.ndarray, parameters: tuple) -> np.ndarray:
        """Apply every transform that drew parameters."""
        return self.trace(waveform, parameters)[0]

    def output_length(self, num_samples: int, parameters: tuple) -> int:
        """Return the samples that come out at the end."""
        for transform, drawn in zip(self.transforms, parameters, strict=True):
            if drawn is not None:
                num_samples = transform.output_length(num_samples, drawn)
        return num_samples

    def trace(
        self, waveform: np.ndarray, parameters: tuple
    ) -> tuple[np.ndarray, tuple[str, ...], tuple[str, ...]]:
        """Apply, and also name the transforms that changed the waveform and that were skipped.

        Raises:
            ValueError: a transform gave another length or type than it promises.
        """
        applied, skipped = [], []
        for transform, drawn in zip(self.transforms, parameters, strict=True):
            if drawn is None:
                continue
            changed = transform.apply(waveform, drawn)
            (skipped if changed is waveform else applied).append(transform.name)
            expected = (transform.output_length(len(waveform), drawn),)
            if changed.shape != expected or changed.dtype != np.float32:
                raise ValueError(
                    f"got {changed.dtype} of shape {changed.shape} from the transform "
                    f"{transform.name}, expected float32 of shape {expected}: views keep their "
                    "timing, so a transform that changes the length states it in output_length."
                )
            waveform = changed
        return waveform, tuple(applied), tuple(skipped)


@dataclass(frozen=True)
class ViewPair:
    """Two waveforms (samples,) float32 of the same length and timing; unpacks into the two.

    Those of `LaserViews` differ in length: theirs is the same speech at another speed.

    Attributes:
        clean: the first view.
        perturbed: the second view.
        applied: names of the transforms that changed the second view.
        skipped: names of those that were drawn for it and could not be applied.
    """

    clean: np.ndarray
    perturbed: np.ndarray
    applied: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield the clean, then the perturbed waveform."""
        return iter((self.clean, self.perturbed))

    @property
    def voice_changed(self) -> bool:
        """Whether the second view has another speaker."""
        return "speaker_perturbation" in self.applied

    @property
    def voice_skipped(self) -> bool:
        """Whether another speaker was asked for and could not be made (silent, unvoiced, short)."""
        return "speaker_perturbation" in self.skipped


@dataclass(frozen=True)
class ViewParameters:
    """Everything drawn for one pair: an entry per transform of each view, None where left out."""

    clean: tuple
    perturbed: tuple


class ComposedViews:
    """Two lists of transforms: the first makes the first ("clean") view, the other the second.

    Args:
        clean: transforms of the first view, in order; empty leaves it as it is.
        perturbed: transforms of the second view, in order.

    Attributes:
        keeps_timing: whether frame t of both views is the same sound, as Spin needs.
        first_view_varies: whether the first view is another one in every epoch.

    Raises:
        TypeError: an entry is not a `Transform`.
        ValueError: the transforms work at different sampling rates.

    Example:
        >>> from hf_rspin.views import Clip, Equalizer, SpeakerPerturbation
        >>> views = ComposedViews([], [SpeakerPerturbation(), Equalizer(), Clip()])
        >>> generators = tuple(np.random.default_rng(view) for view in (0, 1))
        >>> clean, perturbed = views(waveform[0].numpy(), generators)
        >>> clean.shape, perturbed.shape
        ((16000,), (16000,))
    """

    def __init__(self, clean: Sequence[Transform], perturbed: Sequence[Transform]):
        self.clean, self.perturbed = Chain(clean), Chain(perturbed)
        both = Chain([*clean, *perturbed])
        self.sampling_rate, self.keeps_timing = both.sampling_rate, both.keeps_timing
        self.first_view_varies = len(self.clean.transforms) > 0

    def draw(
        self,
        clean_generator: np.random.Generator,
        perturbed_generator: np.random.Generator,
        num_samples: int,
        utterance: str | None = None,
        f0_range: tuple[float, float] | None = None,
    ) -> ViewParameters:
        """Draw the parameters of one pair of views of `num_samples`; see `UtteranceInfo`."""
        info = UtteranceInfo(num_samples, utterance, f0_range)
        return ViewParameters(
            clean=self.clean.draw(clean_generator, info),
            perturbed=self.perturbed.draw(perturbed_generator, info),
        )

    def apply(self, waveform: np.ndarray, parameters: ViewParameters) -> ViewPair:
        """Make the two views of a waveform (samples,).

        Raises:
            ValueError: the waveform is not (samples,) of finite floats.
        """
        return self._apply(check_waveform(waveform, "A view"), parameters)

    def _apply(self, checked: np.ndarray, parameters: ViewParameters) -> ViewPair:
        samples = checked.astype(np.float32, copy=False)
        clean, _, _ = self.clean.trace(samples, parameters.clean)
        perturbed, applied, skipped = self.perturbed.trace(samples, parameters.perturbed)
        for view in (clean, perturbed):
            if not all_finite(view):
                names = ", ".join(t.name for t in self.clean.transforms + self.perturbed.transforms)
                raise ValueError(f"got NaN or infinite samples from the transforms {names}.")
        # neither view shares memory with the waveform or with the other view
        clean, perturbed = (v.copy() if v is samples else v for v in (clean, perturbed))
        return ViewPair(clean, perturbed, applied, skipped)

    def __call__(
        self,
        waveform: np.ndarray,
        generators: tuple[np.random.Generator, np.random.Generator],
        f0_range: tuple[float, float] | None = None,
        utterance: str | None = None,
    ) -> ViewPair:
        """Draw and apply; `generators` are those of the clean and of the perturbed view.

        `f0_range` in Hz is estimated where None; `utterance` is the id of the waveform, which
        babble then leaves out.
        """
        samples = check_waveform(waveform, "A view")
        drawn = self.draw(*generators, len(samples), utterance, f0_range)
        return self._apply(samples, drawn)
