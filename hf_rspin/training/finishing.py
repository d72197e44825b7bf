"""How a training script runs and ends: resumed, saved, merged, with its history."""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel

from hf_rspin.adapters import merge_lora
from hf_rspin.adapters.read import READ
from hf_rspin.publishing.card_file import CARD
from hf_rspin.training.checkpoints import MERGED, last_complete_checkpoint
from hf_rspin.training.trainer import TwoViewTrainer
from hf_rspin.units.whole_folder import whole_folder

logger = logging.getLogger(__name__)


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
    path = Path(folder) / "history.json"
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps([entry for entry in history if "loss" in entry], indent=1))
    temporary.replace(path)
