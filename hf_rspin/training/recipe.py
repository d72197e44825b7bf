"""What the training scripts build from their arguments: corpus, views, model, training set."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass, field, fields
from pathlib import Path

import datasets
import torch
from transformers import AutoConfig, PretrainedConfig, PreTrainedModel

from hf_rspin.data import SkipLog, TwoViewDataset, load_corpus
from hf_rspin.models import RSpinHubertModel, RSpinWavLMModel
from hf_rspin.resources import encoder_folder
from hf_rspin.training.checkpoints import last_complete_checkpoint
from hf_rspin.training.trainer import TwoViewTrainer
from hf_rspin.units import FrameLabels
from hf_rspin.views import NoiseBank, RSpinViews, SpinViews

logger = logging.getLogger(__name__)

EMBEDDED = "embedded"
HEADS = ("spin_head.", "auxiliary_head.")
MODEL_CLASSES = {"hubert": RSpinHubertModel, "wavlm": RSpinWavLMModel}


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
        metadata={"help": "value of the column `split`, or split of a Hub dataset; none: all rows"},
    )
    min_seconds: float = field(default=2.5, metadata={"help": "shorter utterances are left out"})
    max_seconds: float = field(default=17.0, metadata={"help": "longer ones are cropped at random"})
    strict: bool = field(default=False, metadata={"help": "stop at the first bad file"})

    def load(self, skipped: SkipLog | None = None) -> datasets.Dataset:
        """Load the corpus; `skipped` is given the files left out.

        Raises:
            ValueError: no corpus was named, or nothing in it can be used.
        """
        if not self.corpus:
            raise ValueError(
                "no corpus was given; pass --corpus with a folder of audio, a metadata.csv or the "
                "id of a Hub dataset."
            )
        skipped = SkipLog(self.strict) if skipped is None else skipped
        return load_corpus(self.corpus, _split(self.corpus_split), skipped=skipped)


@dataclass
class ViewArguments:
    """How the two views differ."""

    noise: str | None = field(
        default=None, metadata={"help": "folder of noise recordings; none: views without noise"}
    )
    noise_split: str | None = field(
        default=None,
        metadata={"help": "value of the column `split` of the noise metadata.csv; none: all rows"},
    )
    snr_low: float = field(default=-10.0, metadata={"help": "least SNR in dB"})
    snr_high: float = field(default=10.0, metadata={"help": "greatest SNR in dB"})
    babble_probability: float = field(
        default=0.0, metadata={"help": "how often the noise is a mix of other utterances"}
    )
    change_voice: bool = field(default=True, metadata={"help": "speaker perturbation of view 2"})
    equalize: bool = field(default=True, metadata={"help": "random equaliser of view 2"})

    def build(self, corpus: datasets.Dataset) -> SpinViews:
        """Return Spin's views, or R-Spin's where there is noise; babble is made of `corpus`.

        Raises:
            ValueError: the noise folder holds nothing usable.
        """
        options = {"change_voice": self.change_voice, "equalize": self.equalize}
        if self.noise is None and self.babble_probability == 0:
            return SpinViews(**options)
        # Columns are read row by row: a table with audio inside need not fit into memory.
        noise = load_corpus(self.noise, _split(self.noise_split))["audio"] if self.noise else []
        bank = NoiseBank(
            noise,
            speech_sources=corpus["audio"] if self.babble_probability > 0 else [],
            babble_probability=self.babble_probability,
        )
        return RSpinViews(bank, (self.snr_low, self.snr_high), **options)


@dataclass
class ModelArguments:
    """Which encoder, and its heads; what is not given keeps the config's value."""

    encoder: str = field(
        default="", metadata={"help": "folder or Hub id of a HuBERT or WavLM, or embedded"}
    )
    projection_size: int | None = field(default=None, metadata={"help": "size of projections"})
    codebook_size: int | None = field(default=None, metadata={"help": "number of codes"})
    spin_layer: int | None = field(default=None, metadata={"help": "hidden state of the Spin head"})
    auxiliary_layer: int | None = field(
        default=None, metadata={"help": "hidden state of the auxiliary head"}
    )
    spin_loss_weight: float | None = field(default=None, metadata={"help": "0 switches it off"})
    auxiliary_loss_weight: float | None = field(default=None, metadata={"help": "lambda of Eq. 3"})
    temperature: float | None = field(default=None, metadata={"help": "temperature of codes"})
    encoder_config: dict | str | None = field(
        default=None, metadata={"help": "other config fields (dropout, ...), mapping or JSON"}
    )

    def __post_init__(self) -> None:
        if isinstance(self.encoder_config, str):
            self.encoder_config = json.loads(self.encoder_config)

    def build(self, num_pseudo_labels: int | None = None) -> PreTrainedModel:
        """Load the encoder with heads, in float32; fresh heads where the folder has none.

        Raises:
            ValueError: no encoder was named, or its type is neither hubert nor wavlm.
        """
        if not self.encoder:
            raise ValueError(
                "no encoder was given; pass --encoder with a folder or Hub id, for instance "
                "microsoft/wavlm-base."
            )
        encoder = resolve_encoder(self.encoder)
        model_type = AutoConfig.from_pretrained(encoder).model_type
        if model_type not in MODEL_CLASSES:
            raise ValueError(
                f"{self.encoder} is a {model_type!r} model; expected one of "
                f"{', '.join(MODEL_CLASSES)}."
            )
        changes = dict(self.encoder_config or {})
        for name in (f.name for f in fields(self) if f.name not in ("encoder", "encoder_config")):
            if getattr(self, name) is not None:
                changes[name] = getattr(self, name)
        if num_pseudo_labels is not None:
            changes["num_pseudo_labels"] = num_pseudo_labels
        model_class = MODEL_CLASSES[model_type]
        config = model_class.config_class.from_pretrained(encoder, **changes)
        return _load_encoder(model_class, encoder, config)


def _load_encoder(
    model_class: type[PreTrainedModel], encoder: str, config: PretrainedConfig
) -> PreTrainedModel:
    """Load in float32; heads of other sizes than the config's begin anew.

    Raises:
        ValueError: the encoder itself does not fit the config.
    """
    model, report = model_class.from_pretrained(
        encoder,
        config=config,
        dtype=torch.float32,
        ignore_mismatched_sizes=True,
        output_loading_info=True,
    )
    changed = sorted(name for name, *_ in report["mismatched_keys"])
    misfits = [name for name in changed if not name.startswith(HEADS)]
    if misfits:
        raise ValueError(
            f"{encoder} does not fit its config: {', '.join(misfits[:3])} has another size. Leave "
            "sizes of the encoder out of encoder_config."
        )
    if changed:
        logger.warning(
            "The heads in %s have other sizes: %s begin anew.", encoder, ", ".join(changed)
        )
    return model


def _split(value: str | None) -> str | None:
    """Read the word none, with which a command line takes back the split of a config."""
    return None if value is None or value.lower() in ("", "none") else value


def resolve_encoder(name: str) -> str:
    """Return the folder or Hub id of an encoder; "embedded" is the one in the package."""
    return str(encoder_folder()) if name == EMBEDDED else name


def build_training_set(
    corpus: datasets.Dataset,
    corpus_arguments: CorpusArguments,
    views: SpinViews,
    frame_labels: FrameLabels | None,
    seed: int,
    skipped: SkipLog | None = None,
) -> TwoViewDataset:
    """Return the two-view data set; with labels, only utterances that have some.

    `skipped` holds the files that loading the corpus left out, for the summary of the run.
    """
    if frame_labels is not None:
        labelled = [i for i, key in enumerate(corpus["id"]) if str(key) in frame_labels]
        missing = len(corpus) - len(labelled)
        if missing and labelled:
            logger.warning(
                "%d of %d utterances have no pseudo-labels and are left out.", missing, len(corpus)
            )
        if labelled:  # none at all is a mistake, which the checks before the first step name
            corpus = corpus.select(labelled)
    return TwoViewDataset(
        corpus,
        views,
        frame_labels,
        seed=seed,
        min_seconds=corpus_arguments.min_seconds,
        max_seconds=corpus_arguments.max_seconds,
        strict=corpus_arguments.strict,
        skipped=skipped,
    )


def show_progress() -> None:
    """Print what the package has to say; of several processes the first speaks for all."""
    first = os.environ.get("RANK", "0") == "0"
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("hf_rspin").setLevel(logging.INFO if first else logging.ERROR)


def train_and_save(trainer: TwoViewTrainer) -> None:
    """Train from the newest complete checkpoint, if there is one, and save model and history."""
    args = trainer.args
    resume = not args.overwrite_output_dir and last_complete_checkpoint(args.output_dir)
    trainer.train(resume_from_checkpoint=bool(resume) or None)
    trainer.save_model()
    if trainer.is_world_process_zero():
        save_history(trainer.state.log_history, args.output_dir)
        logger.info("Model saved in %s", args.output_dir)
    leave_process_group()


def leave_process_group() -> None:
    """End a distributed run in order: gloo's threads may abort a process that just exits."""
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


def save_history(history: list[dict], folder: str | Path) -> None:
    """Write the logged training steps into `folder/history.json`, whole or not at all."""
    path = Path(folder) / "history.json"
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps([entry for entry in history if "loss" in entry], indent=1))
    temporary.replace(path)
