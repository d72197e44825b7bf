"""What a run is told about its views: voices, noise, and how they are drawn.

Only the standard library is imported here, so that `--help` starts fast; `build` imports what it
needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hf_rspin.training.corpus_arguments import resolved, split_name
from hf_rspin.utils import option

if TYPE_CHECKING:
    import datasets

    from hf_rspin.views import LaserViews, NoiseBank, SpinViews

SYNTHETIC = "synthetic"  # noise that needs no recordings


@dataclass
class AugmentationArguments:
    """What else is done to a view: transforms of `hf_rspin.views.registry`."""

    augmentations: list[str] | None = option(
        None, "at the end of view 2: telephone, mp3, band_limit, clipping; in order"
    )
    augmentation_probability: float = option(
        0.5, "how often each of the augmentations is applied", rare=True
    )
    augment_both_views: bool = option(False, "augment view 1 too, drawn independently", rare=True)

    def augmentation_options(self) -> dict:
        """Return them as options of `build_views`."""
        return {
            "augmentations": self.augmentations or (),
            "augmentation_probability": self.augmentation_probability,
            "augment_both_views": self.augment_both_views,
        }


@dataclass
class NoiseArguments:
    """Which recordings are added to the views as noise."""

    noise: str | None = option(
        None,
        "folder of noise recordings, or synthetic (fan, engine, rain, cafe: no recordings are "
        "needed); left out: views without noise",
    )
    noise_split: str | None = option(
        None,
        "value of the column `split` of the noise; none: all rows; auto: train where there is such "
        "a column",
    )
    babble_probability: float = option(0.0, "how often the noise is a mix of other utterances")

    def __post_init__(self) -> None:
        self.noise, self.noise_split = split_name(self.noise), split_name(self.noise_split)

    def load_noise(self) -> datasets.Dataset | None:
        """Return the noise recordings, read once; None where no noise was given.

        The split `auto` becomes what it was found to mean.

        Raises:
            ValueError: the folder holds nothing usable.
        """
        from hf_rspin.data import load_corpus
        from hf_rspin.resources.noises import training_noises

        if self.noise is None:
            return None
        if vars(self).get("_noise_place") != (self.noise, self.noise_split):
            if self.noise == SYNTHETIC:
                self._noise_rows, self.noise_split = load_corpus(training_noises()), None
            else:
                self._noise_rows = load_corpus(self.noise, self.noise_split)
            self.noise_split = resolved(self.noise_split, self._noise_rows)
            self._noise_place = (self.noise, self.noise_split)
        return self._noise_rows

    def bank(self, corpus: datasets.Dataset) -> NoiseBank | None:
        """Return the noise; babble is made of `corpus`, without the utterance that it is added to.

        Raises:
            ValueError: the noise folder holds nothing usable.
        """
        from hf_rspin.views import NoiseBank

        has_babble = self.babble_probability > 0
        if self.noise is None and not has_babble:
            return None
        # Columns are read row by row: a table with audio inside need not fit into memory.
        noise = self.load_noise()["audio"] if self.noise else []
        return NoiseBank(
            noise,
            speech_sources=corpus["audio"] if has_babble else [],
            babble_probability=self.babble_probability,
            speech_names=corpus["id"][:] if has_babble else None,
        )


@dataclass
class ViewArguments(AugmentationArguments, NoiseArguments):
    """How the two views differ."""

    snr_low: float = option(-10.0, "least SNR in dB")
    snr_high: float = option(10.0, "greatest SNR in dB")
    noise_probability: float = option(1.0, "how often a view gets noise, each by its own draw")
    perturb_speaker: bool = option(True, "speaker perturbation of view 2")
    perturb_formants: bool = option(True, "false: pitch and pitch range alone")
    equalize: bool = option(True, "random equaliser of view 2")

    def build(self, corpus: datasets.Dataset) -> SpinViews:
        """Return Spin's views, or R-Spin's where there is noise.

        Raises:
            ValueError: see `bank`.
        """
        from hf_rspin.views import build_views

        options = {
            "perturb_speaker": self.perturb_speaker,
            "perturb_formants": self.perturb_formants,
            "equalize": self.equalize,
        }
        options |= self.augmentation_options()
        bank = self.bank(corpus)
        if bank is None:
            return build_views("spin", **options)
        options |= {
            "snr_range_db": (self.snr_low, self.snr_high),
            "noise_probability": self.noise_probability,
        }
        return build_views("rspin", bank, **options)


@dataclass
class LaserViewArguments(AugmentationArguments, NoiseArguments):
    """How the two views differ."""

    speeds: list[float] = option([0.9, 1.0, 1.1], "speed factors of view 2, drawn from uniformly")
    semitones: float = option(2.0, "pitch shift of view 2 up or down, after the speed; 0: none")
    snrs: list[float] | None = option(None, "SNRs in dB to choose from (later variant: 20 10 5)")
    snr_low: float | None = option(None, "least SNR in dB, instead of snrs (R-Spin: -10)")
    snr_high: float | None = option(None, "greatest SNR in dB, instead of snrs (R-Spin: 10)")
    noise_on_both_views: bool = option(False, "noise on view 1 too, as R-Spin")

    def build(self, corpus: datasets.Dataset) -> LaserViews:
        """Return LASER's views.

        Raises:
            ValueError: see `bank`, or a setting is out of range.
        """
        from hf_rspin.views import build_views

        options = {"speeds": self.speeds, "semitones": self.semitones}
        options |= self.augmentation_options()
        limits, bank = (self.snr_low, self.snr_high), self.bank(corpus)
        if bank is None:
            if self.snrs is not None or limits != (None, None):
                raise ValueError("an SNR was given without noise: pass --noise with a folder.")
            return build_views("laser", **options)
        if limits != (None, None) and None in limits:
            raise ValueError("snr_low and snr_high belong together: give both, or give snrs.")
        options |= {"snrs_db": self.snrs, "both_views": self.noise_on_both_views}
        options["snr_range_db"] = None if None in limits else limits
        return build_views("laser", bank, **options)
