"""What a run is told about its corpus, its views and its model: the options of the scripts.

Only the standard library is imported here, so that `--help` starts fast; `build` and `load` import
what they need.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from hf_rspin.training.selection_arguments import SelectionArguments
from hf_rspin.utils import option

if TYPE_CHECKING:
    import datasets
    from transformers import PreTrainedModel

    from hf_rspin.data import SkippedFiles
    from hf_rspin.views import LaserViews, NoiseBank, SpinViews

METHODS = ("laser", "score")
SYNTHETIC = "synthetic"  # noise that needs no recordings


def split_name(value: str | None) -> str | None:
    """Read the word none, with which a command line takes back the split of a config."""
    return None if value is None or value.lower() in ("", "none") else value


def resolved(split: str | None, rows: datasets.Dataset) -> str | None:
    """Return a split, and for `auto` what it means for these rows."""
    from hf_rspin.data.sources import AUTO_SPLIT, split_found

    return split_found(rows) if split == AUTO_SPLIT else split


@dataclass
class CorpusArguments:
    """Which utterances to train on."""

    corpus: str = option(
        "",
        "folder of audio, metadata.csv / parquet file, or Hub dataset as owner/name or "
        "owner/name:configuration",
    )
    corpus_split: str | None = option(
        None,
        "value of the column `split`, or split of a Hub dataset; none: all rows; auto: train where "
        "there is such a column",
    )
    min_seconds: float = option(2.5, "shorter utterances are left out")
    max_seconds: float = option(17.0, "longer ones are cropped at random")
    segment_seconds: float = option(
        17.0, "recordings above a minute are cut at pauses into parts of up to this; 0: none"
    )
    audio_column: str | None = option(None, "column of the audio or its paths, such as wav_path")
    text_column: str | None = option(None, "column of the transcripts, such as sentence", rare=True)
    speaker_column: str | None = option(None, "column of the speakers, such as client_id")
    strict: bool = option(False, "stop at the first bad file")

    def load(self, skipped: SkippedFiles | None = None) -> datasets.Dataset:
        """Load the corpus; `skipped` is given the files left out.

        The split `auto` becomes what it was found to mean.

        Raises:
            ValueError: no corpus was named, or nothing in it can be used.
        """
        if not self.corpus:
            raise ValueError(
                "no corpus was given; pass --corpus with a folder of audio, a metadata.csv or the "
                "id of a Hub dataset."
            )
        split = split_name(self.corpus_split)
        rows = self.load_split(split, skipped)
        self.corpus_split = resolved(split, rows)
        return rows

    def load_split(
        self, split: str | None, skipped: SkippedFiles | None = None
    ) -> datasets.Dataset:
        """Load one split of the corpus, None for all rows."""
        from hf_rspin.data import SkippedFiles, load_corpus

        return load_corpus(
            self.corpus,
            split,
            skipped=SkippedFiles(self.strict) if skipped is None else skipped,
            audio_column=self.audio_column,
            text_column=self.text_column,
            speaker_column=self.speaker_column,
            segment_seconds=self.segment_seconds or None,
        )


@dataclass
class TrainingCorpusArguments(SelectionArguments, CorpusArguments):
    """Which utterances to train on."""


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


@dataclass
class EncoderArguments:
    """Which encoder, and any field of its config."""

    encoder: str = option("", "folder or Hub id of an encoder, or bundled")
    encoder_config: dict | str | None = option(
        None, "other config fields (dropout, ...), mapping or JSON"
    )

    def __post_init__(self) -> None:
        given = self.encoder_config
        if isinstance(given, str):
            with contextlib.suppress(json.JSONDecodeError):
                self.encoder_config = json.loads(given)
        if self.encoder_config is not None and not isinstance(self.encoder_config, dict):
            raise ValueError(
                f"encoder_config is {given!r}; expected a mapping in YAML, or on the command line "
                "in JSON such as '{\"hidden_dropout\": 0.0}'."
            )

    def changes(self, without: tuple[str, ...] = ()) -> dict:
        """Return the config fields that were given, those of `encoder_config` among them."""
        changes = dict(self.encoder_config or {})
        for name in (f.name for f in fields(self)):
            if name in ("encoder", "encoder_config", *without):
                continue
            if getattr(self, name) is not None:
                changes[name] = getattr(self, name)
        return changes


@dataclass
class ModelArguments(EncoderArguments):
    """Which encoder, and its heads; what is not given keeps the config's value."""

    projection_size: int | None = option(None, "size of projections", rare=True)
    codebook_size: int | None = option(None, "number of codes")
    spin_layer: int | None = option(None, "hidden state of the Spin head")
    auxiliary_layer: int | None = option(None, "hidden state of the auxiliary head")
    spin_loss_weight: float | None = option(None, "0 switches it off")
    auxiliary_loss_weight: float | None = option(None, "lambda of Eq. 3")
    temperature: float | None = option(None, "temperature of codes", rare=True)
    auxiliary_codebook_size: int | None = option(
        None, "codes of a second, larger codebook (DC-Spin: 4096); units are of the first"
    )
    auxiliary_codebook_weight: float | None = option(None, "weight of its loss")
    variance_weight: float | None = option(
        None, "of the variance term of VICReg (its code: 12.5)", rare=True
    )
    invariance_weight: float | None = option(
        None, "of the invariance term (its code: 25)", rare=True
    )
    covariance_weight: float | None = option(
        None, "of the covariance term (its code: 1)", rare=True
    )

    def build(self, num_pseudo_labels: int | None = None) -> PreTrainedModel:
        """Load the encoder with heads, in float32; fresh heads where the folder has none.

        Raises:
            ValueError: see `build_model`.
        """
        from hf_rspin.training.builders import build_rspin

        changes = self.changes()
        if num_pseudo_labels is not None:
            changes["num_pseudo_labels"] = num_pseudo_labels
        return build_rspin(self.encoder, changes)


@dataclass
class AlignmentArguments:
    """The loss of LASER; what is not given keeps the config's value."""

    soft_dtw_gamma: float | None = option(None, "smoothing of soft-DTW")
    idm_weight: float | None = option(None, "alpha of the regulariser; 0 switches it off")
    idm_margin: float | None = option(None, "margin of the regulariser")
    idm_sigma: int | None = option(None, "frames that attract")
    length_normalization: bool | None = option(
        None, "divide the divergence by the frames of both views"
    )
    alignment: str | None = option(None, "soft_dtw, or frames: one by one, without other speeds")


@dataclass
class RSpinLaserModelArguments(AlignmentArguments, ModelArguments):
    """Which encoder, and its heads; what is not given keeps the config's value."""

    laser_weight: float | None = option(None, "weight of LASER's loss beside R-Spin's")

    def build(self, num_pseudo_labels: int | None = None) -> PreTrainedModel:
        """Load the encoder with heads, in float32; fresh heads where the folder has none.

        Raises:
            ValueError: see `build_model`.
        """
        from hf_rspin.models import RSpinLaserModel
        from hf_rspin.training.builders import build_model

        changes = self.changes()
        if num_pseudo_labels is not None:
            changes["num_pseudo_labels"] = num_pseudo_labels
        return build_model(self.encoder, RSpinLaserModel, lambda model_type: changes)


@dataclass
class RSpinArguments:
    """What R-Spin adds to Spin."""

    pseudo_labels: str | None = option(
        None, "folder of `hf-rspin labels`; none: no auxiliary loss (plain Spin)"
    )
    without_noise: bool = option(False, "both views stay clean, on purpose (an ablation)")

    def __post_init__(self) -> None:
        self.pseudo_labels = split_name(self.pseudo_labels)


@dataclass
class LaserModelArguments(AlignmentArguments, EncoderArguments):
    """Which encoder and method; what is not given keeps the value of the method."""

    method: str = option("laser", "laser, or score (a frozen teacher)")
    projection_size: int | None = option(None, "size of projections", rare=True)
    projection_layers: int | None = option(None, "linear layers: 1 or 2")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.method not in METHODS:
            raise ValueError(f"method is {self.method!r}; expected laser or score.")

    def build(self) -> PreTrainedModel:
        """Load the encoder with a projection, in float32; a fresh one where the folder has none.

        Raises:
            ValueError: see `build_model`.
        """
        from hf_rspin.training.builders import build_laser

        return build_laser(self.encoder, self.method, self.changes(without=("method",)))
