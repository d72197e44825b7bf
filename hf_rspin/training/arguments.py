"""What a run is told about its corpus, its views and its model: the options of the scripts.

Only the standard library is imported here, so that `--help` starts fast; `build` and `load` import
what they need.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import datasets
    from transformers import PreTrainedModel

    from hf_rspin.data import SkippedFiles
    from hf_rspin.views import LaserViews, SpinViews

METHODS = ("laser", "score")


def split_name(value: str | None) -> str | None:
    """Read the word none, with which a command line takes back the split of a config."""
    return None if value is None or value.lower() in ("", "none") else value


def resolved(split: str | None, rows: datasets.Dataset) -> str | None:
    """Return a split, and for `auto` what it means for these rows."""
    from hf_rspin.data.sources import AUTO_SPLIT, split_found

    return split_found(rows) if split == AUTO_SPLIT else split


def load_noise(views: ViewArguments | LaserViewArguments) -> datasets.Dataset:
    """Load the noise of views; the split `auto` becomes what it was found to mean.

    Raises:
        ValueError: the folder holds nothing usable, or has no such split.
    """
    from hf_rspin.data import load_corpus

    split = split_name(views.noise_split)
    rows = load_corpus(views.noise, split)
    views.noise_split = resolved(split, rows)
    return rows


@dataclass
class CorpusArguments:
    """Which utterances to train on."""

    corpus: str = field(
        default="",
        metadata={
            "help": "folder of audio, metadata.csv / parquet file, or Hub dataset as owner/name or "
            "owner/name:configuration"
        },
    )
    corpus_split: str | None = field(
        default=None,
        metadata={
            "help": "value of the column `split`, or split of a Hub dataset; none: all rows; auto: "
            "train where there is such a column"
        },
    )
    min_seconds: float = field(default=2.5, metadata={"help": "shorter utterances are left out"})
    max_seconds: float = field(default=17.0, metadata={"help": "longer ones are cropped at random"})
    segment_seconds: float = field(
        default=17.0,
        metadata={
            "help": "recordings above a minute are cut at pauses into parts of up to this; 0: none"
        },
    )
    audio_column: str | None = field(
        default=None, metadata={"help": "column of the audio or its paths, such as wav_path"}
    )
    text_column: str | None = field(
        default=None, metadata={"help": "column of the transcripts, such as sentence"}
    )
    speaker_column: str | None = field(
        default=None, metadata={"help": "column of the speakers, such as client_id"}
    )
    strict: bool = field(default=False, metadata={"help": "stop at the first bad file"})

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
class AugmentationArguments:
    """What else is done to a view: transforms of `hf_rspin.views.registry`."""

    augmentations: list[str] | None = field(
        default=None,
        metadata={"help": "at the end of view 2: telephone, mp3, band_limit, clipping; in order"},
    )
    augmentation_probability: float = field(
        default=0.5, metadata={"help": "how often each of the augmentations is applied"}
    )
    augment_both_views: bool = field(
        default=False, metadata={"help": "augment view 1 too, drawn independently"}
    )

    def augmentation_options(self) -> dict:
        """Return them as options of `build_views`."""
        return {
            "augmentations": self.augmentations or (),
            "augmentation_probability": self.augmentation_probability,
            "augment_both_views": self.augment_both_views,
        }


@dataclass
class ViewArguments(AugmentationArguments):
    """How the two views differ."""

    noise: str | None = field(
        default=None, metadata={"help": "folder of noise recordings; left out: views without noise"}
    )
    noise_split: str | None = field(
        default=None,
        metadata={
            "help": "value of the column `split` of the noise; none: all rows; auto: train where "
            "there is such a column"
        },
    )
    snr_low: float = field(default=-10.0, metadata={"help": "least SNR in dB"})
    snr_high: float = field(default=10.0, metadata={"help": "greatest SNR in dB"})
    babble_probability: float = field(
        default=0.0, metadata={"help": "how often the noise is a mix of other utterances"}
    )
    perturb_speaker: bool = field(default=True, metadata={"help": "speaker perturbation of view 2"})
    equalize: bool = field(default=True, metadata={"help": "random equaliser of view 2"})

    def build(self, corpus: datasets.Dataset) -> SpinViews:
        """Return Spin's views, or R-Spin's where there is noise.

        Babble is made of `corpus`; that of an utterance leaves out the utterance.

        Raises:
            ValueError: the noise folder holds nothing usable.
        """
        from hf_rspin.views import NoiseBank, build_views

        options = {"perturb_speaker": self.perturb_speaker, "equalize": self.equalize}
        options |= self.augmentation_options()
        if self.noise is None and self.babble_probability == 0:
            return build_views("spin", **options)
        # Columns are read row by row: a table with audio inside need not fit into memory.
        noise = load_noise(self)["audio"] if self.noise else []
        bank = NoiseBank(
            noise,
            speech_sources=corpus["audio"] if self.babble_probability > 0 else [],
            babble_probability=self.babble_probability,
            speech_names=corpus["id"][:] if self.babble_probability > 0 else None,
        )
        snrs = (self.snr_low, self.snr_high)
        return build_views("rspin", bank, snr_range_db=snrs, **options)


@dataclass
class LaserViewArguments(AugmentationArguments):
    """How the two views differ."""

    speeds: list[float] = field(
        default_factory=lambda: [0.9, 1.0, 1.1],
        metadata={"help": "speed factors of view 2, drawn from uniformly"},
    )
    semitones: float = field(
        default=2.0, metadata={"help": "pitch shift of view 2 up or down, after the speed; 0: none"}
    )
    noise: str | None = field(
        default=None, metadata={"help": "folder of noise recordings; left out: views without noise"}
    )
    noise_split: str | None = field(
        default=None,
        metadata={
            "help": "value of the column `split` of the noise; none: all rows; auto: train where "
            "there is such a column"
        },
    )
    snrs: list[float] | None = field(
        default=None, metadata={"help": "SNRs in dB to choose from (later variant: 20 10 5)"}
    )
    snr_low: float | None = field(
        default=None, metadata={"help": "least SNR in dB, instead of snrs (R-Spin: -10)"}
    )
    snr_high: float | None = field(
        default=None, metadata={"help": "greatest SNR in dB, instead of snrs (R-Spin: 10)"}
    )
    babble_probability: float = field(
        default=0.0, metadata={"help": "how often the noise is a mix of other utterances"}
    )
    noise_on_both_views: bool = field(
        default=False, metadata={"help": "noise on view 1 too, as R-Spin"}
    )

    def build(self, corpus: datasets.Dataset) -> LaserViews:
        """Return LASER's views; babble is made of `corpus`.

        Raises:
            ValueError: the noise folder holds nothing usable, or a setting is out of range.
        """
        from hf_rspin.views import NoiseBank, build_views

        options = {"speeds": self.speeds, "semitones": self.semitones}
        options |= self.augmentation_options()
        if self.noise is None and self.babble_probability == 0:
            if self.snrs is not None or self.snr_low is not None or self.snr_high is not None:
                raise ValueError("an SNR was given without noise: pass --noise with a folder.")
            return build_views("laser", **options)
        noise = load_noise(self)["audio"] if self.noise else []
        with_babble = self.babble_probability > 0
        bank = NoiseBank(
            noise,
            speech_sources=corpus["audio"] if with_babble else [],
            babble_probability=self.babble_probability,
            speech_names=corpus["id"][:] if with_babble else None,
        )
        limits = (self.snr_low, self.snr_high)
        if limits != (None, None) and None in limits:
            raise ValueError("snr_low and snr_high belong together: give both, or give snrs.")
        return build_views(
            "laser",
            bank,
            snrs_db=self.snrs,
            snr_range_db=None if None in limits else limits,
            both_views=self.noise_on_both_views,
            **options,
        )


@dataclass
class EncoderArguments:
    """Which encoder, and any field of its config."""

    encoder: str = field(
        default="", metadata={"help": "folder or Hub id of an encoder, or bundled"}
    )
    encoder_config: dict | str | None = field(
        default=None, metadata={"help": "other config fields (dropout, ...), mapping or JSON"}
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

    projection_size: int | None = field(default=None, metadata={"help": "size of projections"})
    codebook_size: int | None = field(default=None, metadata={"help": "number of codes"})
    spin_layer: int | None = field(default=None, metadata={"help": "hidden state of the Spin head"})
    auxiliary_layer: int | None = field(
        default=None, metadata={"help": "hidden state of the auxiliary head"}
    )
    spin_loss_weight: float | None = field(default=None, metadata={"help": "0 switches it off"})
    auxiliary_loss_weight: float | None = field(default=None, metadata={"help": "lambda of Eq. 3"})
    temperature: float | None = field(default=None, metadata={"help": "temperature of codes"})

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
class RSpinArguments:
    """What R-Spin adds to Spin."""

    pseudo_labels: str | None = field(
        default=None,
        metadata={"help": "folder of make_pseudo_labels.py; none: no auxiliary loss (plain Spin)"},
    )
    without_noise: bool = field(
        default=False, metadata={"help": "both views stay clean, on purpose (an ablation)"}
    )

    def __post_init__(self) -> None:
        self.pseudo_labels = split_name(self.pseudo_labels)


@dataclass
class LaserModelArguments(EncoderArguments):
    """Which encoder and method; what is not given keeps the value of the method."""

    method: str = field(default="laser", metadata={"help": "laser, or score (a frozen teacher)"})
    projection_size: int | None = field(default=None, metadata={"help": "size of projections"})
    projection_layers: int | None = field(default=None, metadata={"help": "linear layers: 1 or 2"})
    soft_dtw_gamma: float | None = field(default=None, metadata={"help": "smoothing of soft-DTW"})
    idm_weight: float | None = field(default=None, metadata={"help": "alpha; 0 switches it off"})
    idm_margin: float | None = field(default=None, metadata={"help": "margin of the regulariser"})
    idm_sigma: int | None = field(default=None, metadata={"help": "frames that attract"})
    length_normalization: bool | None = field(
        default=None, metadata={"help": "divide the divergence by the frames of both views"}
    )

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
