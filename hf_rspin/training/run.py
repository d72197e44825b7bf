"""How a training script runs and ends: locked, resumed, saved, merged, with its history."""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel

from hf_rspin.adapters import AdapterArguments, merge_lora
from hf_rspin.adapters.read import READ
from hf_rspin.data import SkippedFiles
from hf_rspin.publishing.card_file import CARD
from hf_rspin.training.builders import build_training_set, pieces_of_labels
from hf_rspin.training.checkpoints import MERGED, last_complete_checkpoint
from hf_rspin.training.corpus_arguments import TrainingCorpusArguments
from hf_rspin.training.model_arguments import LaserModelArguments, ModelArguments, RSpinArguments
from hf_rspin.training.objectives import LaserTrainer, TwoViewTrainer
from hf_rspin.training.output_lock import output_lock
from hf_rspin.training.provenance import corpus_key
from hf_rspin.training.run_card import describe_hardware
from hf_rspin.training.selection import keep_selection, select_rows
from hf_rspin.training.trainer import SpeechTrainer
from hf_rspin.training.training_arguments import LaserTrainingArguments, TwoViewTrainingArguments
from hf_rspin.training.view_arguments import LaserViewArguments, ViewArguments
from hf_rspin.units import FrameLabels
from hf_rspin.utils import write_text
from hf_rspin.whole_folders import whole_folder

logger = logging.getLogger(__name__)

NO_NOISE = (
    "R-Spin adds noise to both views, but no noise was given: pass --noise with a folder of "
    "recordings, or --without_noise true for an ablation."
)


def build_spin(
    corpus: TrainingCorpusArguments,
    views: ViewArguments,
    model: ModelArguments,
    adapter: AdapterArguments,
    training: TwoViewTrainingArguments,
) -> SpeechTrainer:
    """Return the trainer of Spin, which trains the top two layers where nothing else is said."""
    if training.num_trainable_layers is None:
        training.num_trainable_layers = 2  # Spin collapses when everything trains
    has_noise = views.noise is not None or views.babble_probability > 0
    arguments = (corpus, views, model, adapter, RSpinArguments(without_noise=not has_noise))
    return _build(TwoViewTrainer, training, arguments)


def build_rspin(
    corpus: TrainingCorpusArguments,
    views: ViewArguments,
    model: ModelArguments,
    adapter: AdapterArguments,
    arguments: RSpinArguments,
    training: TwoViewTrainingArguments,
) -> SpeechTrainer:
    """Return the trainer of R-Spin, with noise unless the lack of it is asked for.

    Raises:
        ValueError: neither noise nor `without_noise`, or both; or something given is wrong.
    """
    has_noise = views.noise is not None or views.babble_probability > 0
    if not has_noise and not arguments.without_noise:
        raise ValueError(NO_NOISE)
    if has_noise and arguments.without_noise:
        raise ValueError("got --without_noise together with noise: leave out one of them.")
    every = (corpus, views, model, adapter, arguments)
    return _build(TwoViewTrainer, training, every, arguments.pseudo_labels)


def build_laser(
    corpus: TrainingCorpusArguments,
    views: LaserViewArguments,
    model: LaserModelArguments,
    adapter: AdapterArguments,
    training: LaserTrainingArguments,
) -> SpeechTrainer:
    """Return the trainer of LASER or SCORE.

    Raises:
        ValueError: something given is wrong, in one sentence.
    """
    return _build(LaserTrainer, training, (corpus, views, model, adapter))


def _build(
    trainer_class: type[SpeechTrainer],
    training: TwoViewTrainingArguments,
    arguments: tuple[Any, ...],
    pseudo_labels: str | None = None,
) -> SpeechTrainer:
    corpus, views, model, adapter, *_ = arguments
    skipped = SkippedFiles(corpus.strict)
    rows = corpus.load(skipped)
    labels = FrameLabels.load(pseudo_labels) if pseudo_labels else None
    # built before a selection reads the corpus: what is given wrong is refused at once
    both_views = views.build(rows)
    network = model.build() if labels is None else model.build(labels.num_labels)
    if labels is not None:
        network.acoustic_pieces = pieces_of_labels(pseudo_labels, labels)
    network = adapter.wrap(network, num_trainable_layers=training.num_trainable_layers)
    chosen, selection = select_rows(
        corpus, rows, training, labels=labels, start=model.encoder,
        min_seconds=corpus.min_seconds, skipped=skipped,
    )  # fmt: skip
    if selection is not None:
        rows = rows.select(chosen)
        both_views = views.build(rows)  # babble is of these
    dataset = build_training_set(
        rows, both_views, labels, seed=training.seed, min_seconds=corpus.min_seconds,
        max_seconds=corpus.max_seconds, strict=corpus.strict, skipped=skipped,
    )  # fmt: skip
    trainer = trainer_class(network, training, dataset, provenance=noise_key(views))
    trainer.run_arguments = arguments
    keep_selection(trainer, selection)
    return trainer


def noise_key(views: ViewArguments | LaserViewArguments) -> dict[str, Any]:
    """Return what tells the noise of a run from other noise."""
    noise = views.load_noise()
    return {} if noise is None else {"noise": corpus_key(noise)}


def run_training(trainer: SpeechTrainer) -> None:
    """Train from the newest complete checkpoint, if there is one, and save model and history."""
    args = trainer.args
    with output_lock(args.output_dir, args.should_save):
        resume_training(trainer)
        trainer.save_model()
        if trainer.is_world_process_zero():
            save_history(trainer.state.log_history, args.output_dir)
            logger.info("Model saved in %s", args.output_dir)
            if isinstance(trainer.model, PeftModel):
                save_merged(trainer)
    leave_process_group()


def resume_training(trainer: SpeechTrainer) -> None:
    """Say what the run computes on, and train from the newest complete checkpoint."""
    args = trainer.args
    precision = "bfloat16" if args.bf16 else "float16" if args.fp16 else "float32"
    logger.info("Running on %s in %s.", describe_hardware(args.device, args.world_size), precision)
    resume = not args.overwrite_output_dir and last_complete_checkpoint(args.output_dir)
    trainer.train(resume_from_checkpoint=bool(resume) or None)


def save_merged(trainer: SpeechTrainer) -> None:
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
    """End a distributed run in order: gloo's threads may abort a process that just exits.

    They may also hang it: a thread that still drops the tensors of its last collective waits for
    the interpreter, which waits for the thread while it destroys the group.
    """
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
        if torch.distributed.get_backend() == "gloo":
            time.sleep(1.0)  # gives the interpreter away until the threads are idle
        torch.distributed.destroy_process_group()


def save_history(history: list[dict], folder: str | Path) -> None:
    """Write the logged training steps into `folder/history.json`, whole or not at all."""
    steps = [entry for entry in history if "loss" in entry]
    write_text(Path(folder) / "history.json", json.dumps(steps, indent=1))


def show_progress() -> None:
    """Print what the package has to say; of several processes the first speaks for all."""
    first = os.environ.get("RANK", "0") == "0"
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("hf_rspin").setLevel(logging.INFO if first else logging.ERROR)
