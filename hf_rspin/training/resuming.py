"""Go on from a checkpoint, and only from one of the same run."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from peft import PeftModel
from transformers import PreTrainedModel, TrainerState, TrainingArguments

from hf_rspin.adapters import adapted_model, untrained_heads
from hf_rspin.data.checks import raise_problems
from hf_rspin.models.base import EncoderWithHeads
from hf_rspin.training.callbacks import ResumedCallback
from hf_rspin.training.checkpoints import (
    last_complete_checkpoint,
    remove_checkpoints,
    remove_results,
    remove_torn_checkpoints,
)
from hf_rspin.training.checks import Check, check_run, check_same_data
from hf_rspin.training.provenance import differences, load_provenance, run_provenance
from hf_rspin.training.speech_run import SpeechRun

logger = logging.getLogger(__name__)


def prepare_run(
    trainer: SpeechRun, checks: tuple[Check, ...], resume: str | bool | None
) -> tuple[Path | None, dict[str, Any]]:
    """Check a run and clean its folder; return the checkpoint to go on from, and its provenance.

    Args:
        trainer: of the run.
        checks: of its objective.
        resume: see `find_checkpoint`.

    Raises:
        ConfigurationError: the run cannot work, or the checkpoint is of other settings.
        ValueError: there is no complete checkpoint to resume from.
    """
    checkpoint = find_checkpoint(trainer.args.output_dir, resume)
    check_run(trainer, checks, resuming=checkpoint is not None)
    check_same_data(trainer.train_dataset)
    record = run_provenance(trainer)
    check_provenance(checkpoint, record, trainer.args)
    warn_of_untrained_heads(trainer.model, checkpoint)
    clean_output_dir(trainer, resuming=checkpoint is not None)
    return checkpoint, record


def find_checkpoint(output_dir: str | Path, resume: str | bool | None) -> Path | None:
    """Return the checkpoint to go on from: True is the newest complete one of `output_dir`.

    Raises:
        ValueError: there is none.
    """
    if resume is None or resume is False:
        return None
    if resume is not True:
        return Path(resume)
    checkpoint = last_complete_checkpoint(output_dir)
    if checkpoint is None:
        raise ValueError(
            f"{output_dir} holds no complete checkpoint to resume from: start without "
            "resume_from_checkpoint."
        )
    return checkpoint


def check_provenance(
    checkpoint: Path | None, now: Mapping[str, Any], args: TrainingArguments
) -> None:
    """Refuse a checkpoint of other settings, data or weights; more processes are only told.

    Raises:
        ConfigurationError: something that decides the result differs.
    """
    if checkpoint is None:
        return
    before = load_provenance(checkpoint)
    if before is None:
        logger.warning("%s does not say what it was trained with: trusting that it is this run.",
                       checkpoint)  # fmt: skip
        return
    if before.get("processes") != now["processes"]:
        logger.warning(
            "%s was trained by %s processes and goes on with %s: not as the uninterrupted run "
            "would have.", checkpoint, before.get("processes"), now["processes"],
        )  # fmt: skip
    changed = differences(before | {"processes": now["processes"]}, now)
    if changed:
        raise_problems(
            [f"{checkpoint} was trained otherwise ({'; '.join(changed)}): go on with the same "
             "settings and data, name another output_dir, or set overwrite_output_dir."]
        )  # fmt: skip


def warn_of_untrained_heads(model: PreTrainedModel | PeftModel, checkpoint: Path | None) -> None:
    """Warn of heads that stay as they are beside an adapter."""
    heads = untrained_heads(model) if isinstance(model, PeftModel) else []
    if heads and checkpoint is None:
        logger.warning(
            "%s neither trains nor is saved with the adapter; a fresh head stays random: name "
            "it in modules_to_save, or use hf_rspin.adapters.add_lora(..., heads=%s).",
            ", ".join(heads), heads,
        )  # fmt: skip


def mark_trained_heads(trainer: SpeechRun) -> None:
    """Take back that the heads of a model were never trained, once a loss has trained them."""
    model = adapted_model(trainer.model)
    if not isinstance(model, EncoderWithHeads) or trainer.state.global_step == 0:
        return
    if model.config.to_dict().get("spin_loss_weight", 1.0) == 0:
        return  # the codebook stays as it was
    heads = [p for n, p in trainer.model.named_parameters() if _is_of_head(n, model.head_names)]
    if any(parameter.requires_grad for parameter in heads):
        model.config.untrained_heads = False


def _is_of_head(name: str, heads: tuple[str, ...]) -> bool:
    return any(f".{head}" in f".{name}" for head in heads)


def clean_output_dir(trainer: SpeechRun, resuming: bool) -> None:
    """Delete what a later resume must not find, when every process has checked the folder."""
    trainer.accelerator.wait_for_everyone()
    args = trainer.args
    if not args.should_save:
        return
    if args.overwrite_output_dir and not resuming:
        remove_checkpoints(args.output_dir)
        remove_results(args.output_dir)
    remove_torn_checkpoints(args.output_dir)


def restore_callbacks(callbacks: Sequence[ResumedCallback], checkpoint: Path) -> None:
    """Set the callbacks to what they were when the checkpoint was saved."""
    state = _state_of(checkpoint)
    for callback in callbacks:
        saved = state.stateful_callbacks.get(type(callback).__name__) or {}
        callback.restore(saved.get("attributes", {}))


def load_if_finished(trainer: SpeechRun, checkpoint: Path) -> bool:
    """Load a checkpoint at the last update; `Trainer` would train one update more."""
    args, state = trainer.args, _state_of(checkpoint)
    if not 0 < args.max_steps <= state.global_step:
        if 0 < args.max_steps != state.max_steps > 0:
            logger.info(
                "The run goes on to %d updates instead of %d: the learning rate follows the %s "
                "schedule.", args.max_steps, state.max_steps,
                "longer" if args.max_steps > state.max_steps else "shorter",
            )  # fmt: skip
        return False
    logger.warning("%s is the end of the run: nothing is left to train.", checkpoint)
    args.max_steps = state.max_steps  # what it was trained with, for the card
    trainer._load_from_checkpoint(str(checkpoint))
    trainer.state = state
    if args.load_best_model_at_end and state.best_model_checkpoint:
        trainer._load_best_model()
    return True


def _state_of(checkpoint: Path) -> TrainerState:
    return TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
