"""What the training scripts build from their arguments: corpus, views, model, training set."""

from __future__ import annotations

import contextlib
import difflib
import json
import logging
import os
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import datasets
import torch
from peft import PeftModel
from transformers import AutoConfig, PretrainedConfig, PreTrainedModel
from transformers.utils import cached_file

from hf_rspin.adapters import is_adapter, merge_lora
from hf_rspin.adapters.read import READ
from hf_rspin.data import SkipLog, TwoViewDataset, load_corpus
from hf_rspin.models import RSpinHubertModel, RSpinWavLMModel
from hf_rspin.models.card_file import CARD
from hf_rspin.resources import encoder_folder
from hf_rspin.training.card_facts import portable
from hf_rspin.training.checkpoints import MERGED, last_complete_checkpoint
from hf_rspin.training.trainer import TwoViewTrainer
from hf_rspin.units import AcousticPieces, FrameLabels
from hf_rspin.units.whole_folder import whole_folder
from hf_rspin.views import NoiseBank, RSpinViews, SpinViews

logger = logging.getLogger(__name__)

EMBEDDED = "embedded"
HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
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
        return load_corpus(self.corpus, split_name(self.corpus_split), skipped=skipped)


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
        """Return Spin's views, or R-Spin's where there is noise.

        Babble is made of `corpus`; that of an utterance leaves out the utterance.

        Raises:
            ValueError: the noise folder holds nothing usable.
        """
        options = {"change_voice": self.change_voice, "equalize": self.equalize}
        if self.noise is None and self.babble_probability == 0:
            return SpinViews(**options)
        # Columns are read row by row: a table with audio inside need not fit into memory.
        noise = load_corpus(self.noise, split_name(self.noise_split))["audio"] if self.noise else []
        bank = NoiseBank(
            noise,
            speech_sources=corpus["audio"] if self.babble_probability > 0 else [],
            babble_probability=self.babble_probability,
            speech_names=corpus["id"][:] if self.babble_probability > 0 else None,
        )
        return RSpinViews(bank, (self.snr_low, self.snr_high), **options)


@dataclass
class EncoderArguments:
    """Which encoder, and any field of its config."""

    encoder: str = field(
        default="", metadata={"help": "folder or Hub id of a HuBERT or WavLM, or embedded"}
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
        changes = self.changes()
        if num_pseudo_labels is not None:
            changes["num_pseudo_labels"] = num_pseudo_labels
        return build_model(self.encoder, MODEL_CLASSES, HEADS, lambda model_type: changes)


def build_model(
    name: str,
    model_classes: dict[str, type[PreTrainedModel]],
    heads: tuple[str, ...],
    changes_for: Callable[[str], dict],
) -> PreTrainedModel:
    """Load an encoder into the class of its type, in float32.

    Args:
        name: folder, Hub id or embedded.
        model_classes: by `model_type`.
        heads: how the names of weights begin that may be fresh.
        changes_for: gives the config fields to change for a `model_type`.

    Raises:
        ValueError: no encoder was named, it cannot be found, its type is neither hubert nor
            wavlm, or a field to change is none that its config has.
    """
    if not name:
        raise ValueError(
            "no encoder was given; pass --encoder with a folder or Hub id, for instance "
            "microsoft/wavlm-base."
        )
    encoder = resolve_encoder(name)
    model_type = AutoConfig.from_pretrained(encoder).model_type
    if model_type not in model_classes:
        raise ValueError(
            f"{name} is a {model_type!r} model; expected one of {', '.join(model_classes)}."
        )
    changes, model_class = changes_for(model_type), model_classes[model_type]
    _check_fields(changes, model_class.config_class)
    config = model_class.config_class.from_pretrained(encoder, **changes)
    return _load_encoder(model_class, encoder, config, heads)


def _check_fields(changes: dict, config_class: type[PretrainedConfig]) -> None:
    known = [f.name for f in fields(config_class)]
    for name in changes:
        if name not in known:
            close = difflib.get_close_matches(name, known)
            hint = f"did you mean {' or '.join(close)}?" if close else "see its documentation."
            raise ValueError(
                f"encoder_config names {name}, which is no field of {config_class.__name__}; {hint}"
            )


def _load_encoder(
    model_class: type[PreTrainedModel],
    encoder: str,
    config: PretrainedConfig,
    heads: tuple[str, ...],
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
    misfits = [name for name in changed if not name.startswith(heads)]
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


def split_name(value: str | None) -> str | None:
    """Read the word none, with which a command line takes back the split of a config."""
    return None if value is None or value.lower() in ("", "none") else value


def resolve_encoder(name: str) -> str:
    """Return the folder or Hub id of an encoder; "embedded" is the one in the package.

    Raises:
        ValueError: there is no such folder with a model, and none on the Hub.
    """
    if name == EMBEDDED:
        return str(encoder_folder())
    if Path(name).is_dir():
        if (Path(name) / "config.json").is_file() and not is_adapter(name):
            return name
        what = "holds an adapter, no model" if is_adapter(name) else "holds no config.json"
    else:
        what = "is neither a folder nor a model of the Hub"
        if HUB_ID.fullmatch(name):
            try:
                cached_file(name, "config.json")
                return name
            except OSError as error:
                what += f" ({str(error).split(chr(10))[0].rstrip('.')})"
    raise ValueError(
        f"{name} {what}; expected a folder with config.json and weights, a Hub id such as "
        f"microsoft/wavlm-base (after `hf auth login` also a private one), or {EMBEDDED}."
    )


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


def pieces_of_labels(folder: str | Path, labels: FrameLabels) -> AcousticPieces | None:
    """Return the acoustic pieces that pseudo-labels stand for, to be published with the model.

    `make_pseudo_labels.py` saves them beside the folder of the labels. None where there are none,
    or where the labels are the units themselves. Local paths in their history are shortened.
    """
    place = Path(folder).resolve().parent / "acoustic_pieces"
    try:
        pieces = AcousticPieces.from_pretrained(place)
    except FileNotFoundError:
        return None
    if pieces.num_labels != labels.num_labels:
        return None
    pieces.provenance = portable(pieces.provenance)
    return pieces


def train_and_save(trainer: TwoViewTrainer, arguments: Sequence[Any] = ()) -> None:
    """Train from the newest complete checkpoint, if there is one, and save model and history.

    Args:
        trainer: of the run.
        arguments: dataclasses with the settings of the run beside `trainer.args`, for the card.
    """
    args = trainer.args
    trainer.run_arguments = tuple(arguments)
    resume = not args.overwrite_output_dir and last_complete_checkpoint(args.output_dir)
    trainer.train(resume_from_checkpoint=bool(resume) or None)
    trainer.save_model()
    if trainer.is_world_process_zero():
        save_history(trainer.state.log_history, args.output_dir)
        logger.info("Model saved in %s", args.output_dir)
        if isinstance(trainer.model, PeftModel):
            save_merged(trainer)
    leave_process_group()


def save_merged(trainer: TwoViewTrainer) -> None:
    """Save LoRA merged into its encoder in the folder `merged`; say how to load READ.

    The folder is replaced as a whole. The model of the trainer is changed: call it last.
    """
    folder = Path(trainer.args.output_dir)
    if trainer.model.peft_config[trainer.model.active_adapter].peft_type == READ:
        logger.info("Load it with hf_rspin.adapters.load_adapted(%r).", str(folder))
        return
    merged = folder / MERGED
    with whole_folder(merged, "config.json", "merged model") as written:
        if (merged / CARD).is_file():  # stays if a person edited it
            shutil.copy(merged / CARD, written)
        merge_lora(trainer.model).save_pretrained(written)
        trainer.processing_class.save_pretrained(written)
    logger.info("Merged into the encoder, for from_pretrained: %s", merged)


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
