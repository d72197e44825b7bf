"""Watch a run of LASER or SCORE: warn, or stop, when all frames become alike."""

from __future__ import annotations

import logging

from transformers import TrainerControl, TrainerState

from hf_rspin.training.callbacks import CollapseMonitor
from hf_rspin.training.laser_arguments import LaserTrainingArguments

logger = logging.getLogger(__name__)


class FrameCollapseMonitor(CollapseMonitor):
    """Warn when the frames of an utterance are nearly one vector, or all equally far apart.

    Full collapse is a stationary point of LASER, and a zero of SCORE's loss. It shows in the mean
    cosine of all pairs of frames, which goes to 1; a spread near 0 tells the same, and also the
    contrary, frames that are all equally unlike.

    Attributes:
        collapsed: whether the last log was beyond a limit.
    """

    def __init__(self):
        super().__init__(codebook_size=0)

    def on_log(
        self,
        args: LaserTrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict | None = None,
        **kwargs,
    ) -> None:
        """Compare the logged cosines with their limits.

        Raises:
            FloatingPointError: the loss is NaN or infinite: every later checkpoint would be lost.
        """
        super().on_log(args, state, control, logs, **kwargs)
        mean, spread = ((logs or {}).get(f"frame_cosine{name}") for name in ("", "_spread"))
        if mean is None or spread is None or state.global_step < args.collapse_grace_steps:
            return
        if mean <= args.collapse_cosine and spread >= args.collapse_spread:
            self.collapsed = False
            return
        if not self.collapsed:
            logger.warning(
                "The frames are collapsing: their mean cosine is %.4f, its spread %.4f at update "
                "%d. Try a larger idm_weight or a lower learning rate.%s",
                mean, spread, state.global_step, " Stopping." if args.stop_on_collapse else "",
            )  # fmt: skip
        self.collapsed = True
        control.should_training_stop |= args.stop_on_collapse
