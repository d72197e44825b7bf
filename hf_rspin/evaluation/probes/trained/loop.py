"""One training of a probe at one learning rate, and its score on held-out utterances."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from hf_rspin.evaluation.measures.error_rates import ErrorCounts
from hf_rspin.evaluation.probe_arguments import ProbeArguments
from hf_rspin.evaluation.probes.trained.base import TrainedProbe
from hf_rspin.evaluation.probes.trained.examples import Utterances, random_batches

logger = logging.getLogger(__name__)

# From this error rate on a probe has learned nothing yet: what it happens to babble may lie below
# the 1.0 of one that has learned to say blanks first, as CTC does. Then the losses decide.
NOTHING_LEARNED = 0.9


@dataclass(frozen=True)
class Task:
    """What is to be learned.

    Args:
        examples: features of every utterance.
        texts: what each is to be recognised as.
        train: utterances to train on; those whose text does not fit are left out.
        dev: utterances to choose weights and learning rate on.
        device: to train on.
        progress: show a progress bar.
    """

    examples: Utterances
    texts: Sequence[str]
    train: Sequence[int]
    dev: Sequence[int]
    device: str = "cpu"
    progress: bool = True


class DivergedError(ValueError):
    """The loss is no number before the first dev score."""


@torch.no_grad()
def evaluate_probe(
    probe: TrainedProbe, task: Task, indices: Sequence[int], batch_size: int = 32
) -> tuple[ErrorCounts, float]:
    """Return the errors on some utterances, in their order, and the mean loss of those that fit."""
    predictions, losses = {}, []
    order = sorted(indices, key=lambda i: task.examples.lengths[i])
    for start in range(0, len(order), batch_size):
        batch = order[start : start + batch_size]
        features, lengths = task.examples.batch(batch)
        scores = probe(features.to(task.device), lengths)
        predictions |= zip(batch, probe.decode(scores, lengths), strict=True)
        losses.append(probe.losses(scores, lengths, [task.texts[i] for i in batch]).cpu())
    counts = probe.count([task.texts[i] for i in indices], [predictions[i] for i in indices])
    return counts, float(torch.cat(losses).mean())


def rank(error: float, loss: float | None) -> tuple[float, float]:
    """Return what is the smaller the better; a loss of None is no number."""
    return min(error, NOTHING_LEARNED), math.inf if loss is None else loss


@dataclass
class Run:
    """A training that goes on."""

    probe: TrainedProbe
    best: tuple[float, float | None]  # dev error and loss
    history: list[dict[str, Any]]


class Trainer:
    """One training at one learning rate."""

    def __init__(
        self,
        probe: TrainedProbe,
        task: Task,
        arguments: ProbeArguments,
        rate: float,
        num_updates: int,
    ) -> None:
        self.probe, self.task, self.arguments, self.rate = probe, task, arguments, rate
        self.num_updates = num_updates
        self.optimizer = torch.optim.Adam(probe.parameters(), lr=rate)
        self.rng = np.random.default_rng(arguments.seed)

    def run(self, evaluations: int) -> Run:
        """Train to the end, or until the loss is no number.

        Raises:
            DivergedError: that happened before the first dev score.
        """
        probe, task, size = self.probe, self.task, self.arguments.batch_size
        run = Run(probe, (math.inf, None), [])
        kept: dict[str, Tensor] = {}
        batches = random_batches(task.examples.lengths, task.train, size, self.rng, probe.pool)
        interval, losses = max(1, self.num_updates // evaluations), []
        name = f"{probe.kind} probe, learning rate {self.rate:g}"
        bar = tqdm(range(self.num_updates), desc=name, disable=not task.progress, leave=False)
        for update in bar:
            losses.append(self._update(update, next(batches)))
            if not math.isfinite(losses[-1]):
                self._give_up(update, run)
                break
            if (update + 1) % interval == 0 or update + 1 == self.num_updates:
                score = self._score(run, update + 1, float(np.mean(losses)))
                bar.set_postfix(loss=f"{np.mean(losses):.3f}", dev_error=f"{score[0]:.3f}")
                losses = []
                if not kept or rank(*score) < rank(*run.best):
                    run.best, kept = score, copy.deepcopy(probe.state_dict())
        probe.load_state_dict(kept)
        probe.eval()
        return run

    def _update(self, update: int, indices: Sequence[int]) -> float:
        task, probe = self.task, self.probe
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * self._factor(update)
        probe.train()
        features, lengths = task.examples.batch(indices, self.rng)
        scores = probe(features.to(task.device), lengths, self.rng)
        loss = probe.losses(scores, lengths, [task.texts[i] for i in indices]).mean()
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(probe.parameters(), self.arguments.max_grad_norm)
        self.optimizer.step()
        return loss.item()

    def _factor(self, update: int) -> float:
        if self.arguments.schedule == "constant":
            return 1.0
        return 0.5 * (1 + math.cos(math.pi * update / self.num_updates))

    def _score(self, run: Run, update: int, loss: float) -> tuple[float, float | None]:
        self.probe.eval()
        counts, dev_loss = evaluate_probe(self.probe, self.task, self.task.dev)
        finite = dev_loss if math.isfinite(dev_loss) else None  # JSON has no nan
        run.history.append(
            {"update": update, "loss": loss, "dev_error": counts.rate, "dev_loss": finite}
        )
        return counts.rate, finite

    def _give_up(self, update: int, run: Run) -> None:
        what = f"the loss became no number at update {update + 1} with learning rate {self.rate:g}"
        if not run.history:
            raise DivergedError(f"{what}; give a lower one.")
        logger.warning("%s; the best weights until then are kept.", what.capitalize())
