"""What watches a run: totals, collapse, gradients that are not finite, signals that end it."""

from __future__ import annotations

import contextlib
import logging
import math
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState

from hf_rspin.data.skipped import SkippedFiles
from hf_rspin.losses.distributed import reduce_max_, world_size

logger = logging.getLogger(__name__)


class ResumedCallback(TrainerCallback, ExportableState):
    """A callback whose `attributes` are saved with every checkpoint and restored in place.

    `Trainer` would put a new object in its place; here `SpeechTrainer.train` calls `restore`.
    """

    def attributes(self) -> dict[str, Any]:
        """Return what a checkpoint keeps, as JSON values."""
        raise NotImplementedError

    def state(self) -> dict:
        """Return what `Trainer` writes into trainer_state.json."""
        return {"args": {}, "attributes": self.attributes()}

    def begin(self) -> None:
        """Forget an earlier run of the same trainer."""

    def restore(self, attributes: dict[str, Any]) -> None:
        """Go on from the attributes of a checkpoint."""
        for name, value in attributes.items():
            setattr(self, name, value)


class RunProgress(ResumedCallback):
    """Totals of the run over interruptions: speech, skipped files, duration.

    Attributes:
        totals: sums over all processes, by name, such as `seconds` of speech.
        skipped: files that could not be used.
        seconds_before: duration of the run before it was resumed.
    """

    def __init__(self):
        self.totals: dict[str, float] = {}
        self.skipped = SkippedFiles()
        self.seconds_before = 0.0
        self._started: float | None = None

    @property
    def wall_seconds(self) -> float:
        """Duration of the run so far, without the time that it lay interrupted."""
        running = 0.0 if self._started is None else time.monotonic() - self._started
        return self.seconds_before + running

    @contextlib.contextmanager
    def clock(self) -> Iterator[None]:
        """Count the time inside."""
        self._started = time.monotonic()
        try:
            yield
        finally:
            self.seconds_before, self._started = self.wall_seconds, None

    def begin(self) -> None:
        """Forget an earlier run of the same trainer."""
        self.totals.clear()
        self.seconds_before = 0.0

    def attributes(self) -> dict[str, Any]:
        """Return totals, skipped files and duration."""
        return {
            "totals": self.totals,
            "skipped": self.skipped.reasons,
            "wall_seconds": self.wall_seconds,
        }

    def restore(self, attributes: dict[str, Any]) -> None:
        """Go on from the totals of a checkpoint; files that were skipped now are kept."""
        self.totals.clear()
        self.totals.update(attributes.get("totals", {}))
        self.skipped.reasons = {**attributes.get("skipped", {}), **self.skipped.reasons}
        self.skipped.num_shared = 0
        self.seconds_before = attributes.get("wall_seconds", 0.0)


class LossCheck(TrainerCallback):
    """Stop at a loss or a gradient that is NaN or infinite: every later checkpoint would be lost.

    With float16 the scaler skips such updates itself, and only the loss is looked at.
    """

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control, model=None, **kwargs
    ) -> None:
        """Look at the gradients of all parameters.

        Raises:
            FloatingPointError: one of them is not finite.
        """
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        if args.fp16 or not gradients:
            return
        if not torch.nn.utils.get_total_norm(gradients).isfinite():
            raise FloatingPointError(
                f"The gradient is not finite at update {state.global_step + 1}. {_REMEDY}"
            )

    def on_log(
        self, args, state: TrainerState, control, logs: dict | None = None, **kwargs
    ) -> None:
        """Look at the loss.

        Raises:
            FloatingPointError: it is not finite.
        """
        loss = (logs or {}).get("loss", 0.0)
        if not math.isfinite(loss):
            raise FloatingPointError(f"The loss is {loss} at update {state.global_step}. {_REMEDY}")


_REMEDY = (
    "Resume from the last checkpoint with a lower learning rate or without half precision, in "
    "another output folder."
)


class CollapseCallback(TrainerCallback):
    """Warns once when what is logged is beyond its limits, and stops where the arguments say so.

    Attributes:
        collapsed: whether the last log was beyond a limit.
    """

    collapsed = False

    def problem(self, logs: Mapping[str, float], args: TrainingArguments) -> str | None:
        """Describe a collapse, "{}" in place of the update; "" for none, None where nothing says.

        Args:
            logs: what is logged.
            args: with the limits.
        """
        raise NotImplementedError

    def on_log(
        self, args, state: TrainerState, control: TrainerControl, logs: dict | None = None, **kwargs
    ) -> None:
        """Compare what is logged with its limits."""
        if state.global_step < args.collapse_grace_steps:
            return
        problem = self.problem(logs or {}, args)
        if problem and not self.collapsed:
            stopping = " Stopping." if args.stop_on_collapse else ""
            logger.warning("%s%s", problem.format(state.global_step), stopping)
        if problem is not None:
            self.collapsed = bool(problem)
            control.should_training_stop |= self.collapsed and args.stop_on_collapse


class CodebookCollapseCallback(CollapseCallback, ResumedCallback):
    """Watches code perplexity: a collapse is a fall below shares of its peak and of the codebook.

    Args:
        codebook_size: number of codes of the model.
        auxiliary_codebook_size: number of codes of its second codebook, None for none.

    Attributes:
        peak: highest code perplexity logged so far.
        auxiliary_peak: that of the second codebook.
    """

    def __init__(self, codebook_size: int, auxiliary_codebook_size: int | None = None):
        self.codebook_size, self.auxiliary_codebook_size = codebook_size, auxiliary_codebook_size
        self.peak = self.auxiliary_peak = 0.0

    def begin(self) -> None:
        """Forget the peaks of an earlier run."""
        self.peak = self.auxiliary_peak = 0.0

    def attributes(self) -> dict[str, Any]:
        """Return the highest perplexities."""
        return {"peak": self.peak, "auxiliary_peak": self.auxiliary_peak}

    def problem(self, logs: Mapping[str, float], args: TrainingArguments) -> str | None:
        """Compare the code perplexity of each codebook with its limits."""
        perplexity, other = logs.get("code_perplexity"), logs.get("auxiliary_code_perplexity")
        problems = []
        if perplexity is not None:
            self.peak = max(self.peak, perplexity)
            problems.append(_fall("codebook", perplexity, self.peak, self.codebook_size, args))
        if other is not None:
            self.auxiliary_peak = max(self.auxiliary_peak, other)
            limits = other, self.auxiliary_peak, self.auxiliary_codebook_size, args
            problems.append(_fall("second codebook", *limits))
        return next(filter(None, problems), "") if problems else None


def _fall(name: str, perplexity: float, peak: float, codes: int, args: TrainingArguments) -> str:
    """Describe the collapse of a codebook; "" for none."""
    if perplexity >= max(args.collapse_of_peak * peak, args.collapse_of_codebook * codes):
        return ""
    return (
        f"The {name} is collapsing: code perplexity is {perplexity:.2f} at update {{}} "
        f"(highest {peak:.2f}, {codes} codes). Try larger batches, a lower learning rate or other "
        "noise."
    )


class RepresentationCollapseCallback(CollapseCallback):
    """Watches whether the frames of an utterance are nearly one vector, or all equally far apart.

    Full collapse is a stationary point of LASER, and a zero of SCORE's loss. It shows in the mean
    cosine of all pairs of frames, which goes to 1; a spread near 0 tells the same, and also the
    contrary, frames that are all equally unlike.
    """

    def problem(self, logs: Mapping[str, float], args: TrainingArguments) -> str | None:
        """Compare the cosines with their limits."""
        mean, spread = (logs.get(f"frame_cosine{name}") for name in ("", "_spread"))
        if mean is None or spread is None:
            return None
        if mean <= args.collapse_cosine and spread >= args.collapse_spread:
            return ""
        return (
            f"The frames are collapsing: their mean cosine is {mean:.4f}, its spread {spread:.4f} "
            "at update {}. Try a larger idm_weight or a lower learning rate."
        )


class LogBeforeSave(TrainerCallback):
    """Log at every checkpoint, so that no averaging window spans one.

    A resumed run then logs the same averages as one that was never interrupted.
    """

    def on_step_end(self, args, state, control: TrainerControl, **kwargs) -> None:
        """Ask for a log where a checkpoint is due."""
        control.should_log |= control.should_save


class StoppedBySignalError(KeyboardInterrupt):
    """A run that a signal ended after it saved a checkpoint; the message says how to go on.

    Attributes:
        exit_code: 128 and the number of the signal, as shells count it: 138 after SIGUSR1, by
            which a scheduler says that the time is nearly over, means "start this again".
    """

    def __init__(self, signum: int, update: int, output_dir: str):
        self.exit_code = 128 + signum
        super().__init__(
            f"Stopped by {signal.Signals(signum).name} after update {update}: checkpoint-{update} "
            f"in {output_dir} holds the run; the same command goes on from there."
        )


class StopOnSignal(TrainerCallback):
    """Finish the update, save a checkpoint and stop at SIGINT, SIGTERM or SIGUSR1, on every rank.

    A second Ctrl-C in a single process stops at once.
    """

    def __init__(self):
        self.received = 0

    @contextlib.contextmanager
    def handlers(self) -> Iterator[None]:
        """Catch the signals inside; only the main thread can."""
        self.received = 0
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        signals = [signal.SIGINT, signal.SIGTERM]
        signals += [signal.SIGUSR1] if hasattr(signal, "SIGUSR1") else []  # not on Windows
        before = {number: signal.signal(number, self._note) for number in signals}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int, frame: object) -> None:
        if self.received and number == signal.SIGINT and world_size() == 1:
            raise KeyboardInterrupt
        self.received = number

    def on_step_end(
        self, args, state: TrainerState, control: TrainerControl, **kwargs
    ) -> None:
        """Save and stop where any rank got a signal."""
        if world_size() > 1:
            self.received = int(reduce_max_(torch.tensor(self.received, device=args.device)))
        if self.received:
            control.should_save = control.should_training_stop = True
