"""Watch a run: warn, or stop, when the codebook collapses."""

from __future__ import annotations

import logging
import math

from transformers import TrainerCallback, TrainerControl, TrainerState

from hf_rspin.training.arguments import TwoViewTrainingArguments

logger = logging.getLogger(__name__)


class CollapseMonitor(TrainerCallback):
    """Warn when code perplexity falls, and stop where the arguments say so.

    Args:
        codebook_size: number of codes of the model.

    Attributes:
        peak: highest code perplexity logged so far.
        collapsed: whether the last log was below a limit.
    """

    def __init__(self, codebook_size: int):
        self.codebook_size = codebook_size
        self.peak = 0.0
        self.collapsed = False

    def on_log(
        self,
        args: TwoViewTrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict | None = None,
        **kwargs,
    ) -> None:
        """Compare the logged code perplexity with its limits.

        Raises:
            FloatingPointError: the loss is NaN or infinite: every later checkpoint would be lost.
        """
        loss = (logs or {}).get("loss", 0.0)
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"The loss is {loss} at update {state.global_step}. Resume from the last "
                "checkpoint with a lower learning rate or without half precision."
            )
        perplexity = (logs or {}).get("code_perplexity")
        if perplexity is None or state.global_step < args.collapse_grace_steps:
            return
        self.peak = max(self.peak, perplexity)
        limit = max(
            args.collapse_of_peak * self.peak, args.collapse_of_codebook * self.codebook_size
        )
        if perplexity >= limit:
            self.collapsed = False
            return
        if not self.collapsed:
            logger.warning(
                "The codebook is collapsing: code perplexity is %.2f at update %d (highest %.2f, "
                "%d codes). Try larger batches, a lower learning rate or other noise.%s",
                perplexity,
                state.global_step,
                self.peak,
                self.codebook_size,
                " Stopping." if args.stop_on_collapse else "",
            )
        self.collapsed = True
        control.should_training_stop |= args.stop_on_collapse


class LogBeforeSave(TrainerCallback):
    """Log at every checkpoint, so that no averaging window spans one.

    A resumed run then logs the same averages as one that was never interrupted.
    """

    def on_step_end(
        self,
        args: TwoViewTrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs,
    ) -> None:
        """Ask for a log where a checkpoint is due."""
        control.should_log |= control.should_save
