"""What `train_laser.py` builds from its arguments: views and model of LASER or SCORE."""

from __future__ import annotations

from dataclasses import dataclass, field

import datasets
from transformers import PreTrainedModel

from hf_rspin.data import load_corpus
from hf_rspin.models import SCORE_SETTINGS, LaserHubertModel, LaserWavLMModel
from hf_rspin.training.encoders import EncoderArguments, build_model
from hf_rspin.training.recipe import split_name
from hf_rspin.views import HUBERT_SPEEDS, LaserViews, NoiseBank, ViewNoise

HEADS = ("laser_head.",)
MODEL_CLASSES = {"hubert": LaserHubertModel, "wavlm": LaserWavLMModel}
METHODS = ("laser", "score")


@dataclass
class LaserViewArguments:
    """How the two views differ."""

    speeds: list[float] = field(
        default_factory=lambda: list(HUBERT_SPEEDS),
        metadata={"help": "speed factors of view 2, drawn from uniformly"},
    )
    semitones: float = field(
        default=2.0, metadata={"help": "pitch shift of view 2 up or down, after the speed; 0: none"}
    )
    noise: str | None = field(
        default=None, metadata={"help": "folder of noise recordings; none: views without noise"}
    )
    noise_split: str | None = field(
        default=None,
        metadata={"help": "value of the column `split` of the noise metadata.csv; none: all rows"},
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
        if self.noise is None and self.babble_probability == 0:
            if self.snrs is not None or self.snr_low is not None or self.snr_high is not None:
                raise ValueError("an SNR was given without noise: pass --noise with a folder.")
            return LaserViews(self.speeds, self.semitones)
        noise = load_corpus(self.noise, split_name(self.noise_split))["audio"] if self.noise else []
        with_babble = self.babble_probability > 0
        bank = NoiseBank(
            noise,
            speech_sources=corpus["audio"] if with_babble else [],
            babble_probability=self.babble_probability,
            speech_names=corpus["id"][:] if with_babble else None,
        )
        return LaserViews(self.speeds, self.semitones, self._noise(bank))

    def _noise(self, bank: NoiseBank) -> ViewNoise:
        limits = (self.snr_low, self.snr_high)
        if limits == (None, None):
            return ViewNoise(bank, snrs_db=self.snrs, both_views=self.noise_on_both_views)
        if None in limits:
            raise ValueError("snr_low and snr_high belong together: give both, or give snrs.")
        return ViewNoise(bank, self.snrs, limits, both_views=self.noise_on_both_views)


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
        return build_model(self.encoder, MODEL_CLASSES, HEADS, self._changes_for)

    def _changes_for(self, model_type: str) -> dict:
        # not what the folder says, which may have been trained by the other method
        known = MODEL_CLASSES[model_type].config_class.__dataclass_fields__
        score = SCORE_SETTINGS[model_type]
        settings = score if self.method == "score" else {n: known[n].default for n in score}
        return settings | self.changes(without=("method",))
