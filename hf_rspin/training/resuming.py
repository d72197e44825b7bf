"""A Trainer that goes on exactly where it was stopped, and notices when it cannot."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from peft import PeftModel
from transformers import TrainerState

from hf_rspin.adapters import changed_settings, untrained_heads
from hf_rspin.data.checks import raise_problems
from hf_rspin.data.skipped import share_skipped
from hf_rspin.training.checkpoints import (
    last_complete_checkpoint,
    load_progress,
    remove_checkpoints,
    remove_results,
    remove_torn_checkpoints,
    save_progress,
)
from hf_rspin.training.meter import Meter
from hf_rspin.training.publishing import PublishingTrainer

logger = logging.getLogger(__name__)


class ResumingTrainer(PublishingTrainer):
    """What `TwoViewTrainer` keeps beside the weights: totals, skipped files, the data's key."""

    def _checkpoint(self, resume: str | bool | None) -> Path | None:
        if resume is None or resume is False:
            return None
        if resume is not True:
            return Path(resume)
        checkpoint = last_complete_checkpoint(self.args.output_dir)
        if checkpoint is None:
            raise ValueError(
                f"{self.args.output_dir} holds no complete checkpoint to resume from: start "
                "without resume_from_checkpoint."
            )
        return checkpoint

    def _check_adapter(self, checkpoint: Path | None) -> None:
        """Refuse to go on with another adapter; warn of heads that stay as they are."""
        changed = changed_settings(self.model, checkpoint) if checkpoint is not None else []
        if changed:
            raise_problems(
                [f"{checkpoint} was trained otherwise ({'; '.join(changed)}): go on with the same "
                 "adapter, name another output_dir, or set overwrite_output_dir."]
            )  # fmt: skip
        heads = untrained_heads(self.model) if isinstance(self.model, PeftModel) else []
        if heads and checkpoint is None:
            logger.warning(
                "%s neither trains nor is saved with the adapter; a fresh head stays random: name "
                "it in modules_to_save, or use hf_rspin.adapters.add_lora(..., heads=%s).",
                ", ".join(heads), heads,
            )  # fmt: skip

    def _clean_output_dir(self, resuming: bool) -> None:
        """Delete what a later resume must not find, when every process has checked the folder."""
        self.accelerator.wait_for_everyone()
        if not self.args.should_save:
            return
        if self.args.overwrite_output_dir and not resuming:
            remove_checkpoints(self.args.output_dir)
            remove_results(self.args.output_dir)
        remove_torn_checkpoints(self.args.output_dir)

    def _is_finished(self, checkpoint: Path) -> bool:
        """Load a checkpoint at the last update; `Trainer` would train one update more."""
        state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
        if not 0 < self.args.max_steps <= state.global_step:
            return False
        logger.warning("%s is the end of the run: nothing is left to train.", checkpoint)
        self._load_from_checkpoint(str(checkpoint))
        self.state = state
        return True

    def _save_checkpoint(self, model: torch.nn.Module, trial) -> None:
        self.meter.gather_totals(self._sum_over_ranks)
        share_skipped(self.skipped)
        if self.args.should_save:
            folder = Path(self._get_output_dir(trial)) / f"checkpoint-{self.state.global_step}"
            progress = {
                "totals": self.meter.totals,
                "skipped": self.skipped.reasons,
                "code_perplexity_peak": self.collapse_monitor.peak,
                "wall_seconds": self.wall_seconds,
                "data": self._data_key(),
            }
            save_progress(folder, progress)
        super()._save_checkpoint(model, trial)

    def _restore(self, checkpoint: Path) -> None:
        progress = load_progress(checkpoint)
        self.meter = Meter()
        self.meter.totals = progress.get("totals", {})
        self.skipped.reasons = {**progress.get("skipped", {}), **self.skipped.reasons}
        self.skipped.num_shared = 0
        self.collapse_monitor.peak = progress.get("code_perplexity_peak", 0.0)
        self.seconds_before = progress.get("wall_seconds", 0.0)
        before, now = progress.get("data"), self._data_key()
        if before is not None and before != now:
            logger.warning(
                "The data or its batches changed since the checkpoint (%s, now %s): training goes "
                "on, but not as the uninterrupted run would have.",
                before,
                now,
            )

    def _data_key(self) -> dict[str, float]:
        """Return what decides which examples an update sees."""
        return {
            "utterances": len(self.train_dataset),
            "hours": round(float(self.train_dataset.full_durations.sum()) / 3600, 6),
            "seed": self.train_dataset.seed,
            "batch_seconds": self.args.batch_seconds,
            "accumulation": self.args.gradient_accumulation_steps,
            "processes": self.args.world_size,
        }
