"""Trains a probe on cached features, at one learning rate or at the best of several."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from hf_rspin.evaluation.probe_arguments import ProbeArguments
from hf_rspin.evaluation.probes.trained.base import TrainedProbe
from hf_rspin.evaluation.probes.trained.loop import DivergedError, Run, Task, Trainer, rank

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ProbeTraining:
    """What training a probe gave.

    Attributes:
        probe: with the weights of the best dev score.
        learning_rate: that it was trained with.
        dev_error: error rate on the dev utterances.
        dev_loss: loss on them; None where it is no number.
        history: update, loss, dev_error and dev_loss of every evaluation.
        search: learning_rate, updates, dev_error and dev_loss of every rate that was tried; empty
            where there was one only.
    """

    probe: TrainedProbe
    learning_rate: float
    dev_error: float
    dev_loss: float | None
    history: list[dict[str, Any]]
    search: list[dict[str, Any]]

    @property
    def updates(self) -> int:
        """Return how many updates were made, those of the search among them."""
        made = [entry["update"] for entry in self.history[-1:]]
        return sum(made) + sum(one["updates"] for one in self.search)

    def facts(self) -> dict[str, Any]:
        """Return all but the probe, as JSON values."""
        names = ("learning_rate", "dev_error", "dev_loss", "history", "search")
        return {name: getattr(self, name) for name in names}


def train_probe(
    make: Callable[[], TrainedProbe], task: Task, arguments: ProbeArguments | None = None
) -> ProbeTraining:
    """Train a probe; keep the weights of the lowest dev error.

    At equal errors the lower dev loss decides, and all of `NOTHING_LEARNED` or more are equal.
    Several learning rates are first tried by short trainings, see `ProbeArguments`; the best is
    chosen in the same way. Every training begins with the same weights and draws the same batches.

    Args:
        make: gives a fresh probe; the seed is set before.
        task: what is to be learned.
        arguments: default those of `ProbeArguments`.

    Raises:
        ValueError: no training utterance fits, no dev utterance has a text, or the loss of every
            learning rate became no number.
    """
    arguments = arguments or ProbeArguments()
    with torch.random.fork_rng(devices=[]):
        train = _that_fit(make(), task)
    dev = [i for i in task.dev if task.texts[i].strip()]
    if not dev:
        raise ValueError(
            f"none of the {len(task.dev)} utterances held out to choose the best weights has a "
            "label; fill the column, or give more utterances."
        )
    task = replace(task, train=train, dev=dev)
    rates, search = arguments.rates(), []
    if len(rates) > 1:
        search = [_try_rate(make, task, arguments, rate) for rate in rates]
        rates = [_best_rate(search)]
    found = _train(make, task, arguments, rates[0], arguments.num_updates, arguments.evaluations)
    return ProbeTraining(found.probe, rates[0], *found.best, found.history, search)


def _try_rate(
    make: Callable[[], TrainedProbe], task: Task, arguments: ProbeArguments, rate: float
) -> dict[str, Any]:
    updates = arguments.search_updates()
    evaluations = max(1, round(arguments.evaluations * arguments.search_share))
    try:
        error, loss = _train(make, task, arguments, rate, updates, evaluations).best
    except DivergedError:
        error = loss = None
    return {"learning_rate": rate, "updates": updates, "dev_error": error, "dev_loss": loss}


def _best_rate(search: Sequence[dict[str, Any]]) -> float:
    """Return the rate of the best dev score."""
    scored = [one for one in search if one["dev_error"] is not None]
    if not scored:
        rates = [one["learning_rate"] for one in search]
        raise ValueError(f"training diverged at every learning rate of {rates}; give lower ones.")

    best = min(scored, key=lambda one: rank(one["dev_error"], one["dev_loss"]))["learning_rate"]
    tried = sorted(one["learning_rate"] for one in search)
    if best in (tried[0], tried[-1]):
        logger.warning(
            "The best learning rate, %g, is the %s of those tried; add %s ones.",
            best, *(("lowest", "lower") if best == tried[0] else ("highest", "higher")),
        )  # fmt: skip
    return best


def _train(
    make: Callable[[], TrainedProbe],
    task: Task,
    arguments: ProbeArguments,
    rate: float,
    num_updates: int,
    evaluations: int,
) -> Run:
    """Train at one learning rate."""
    device = torch.device(task.device)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):  # ours alone
        torch.manual_seed(arguments.seed)
        return Trainer(make().to(task.device), task, arguments, rate, num_updates).run(evaluations)


def _that_fit(probe: TrainedProbe, task: Task) -> list[int]:
    """Drop training utterances that cannot be learned from."""
    lengths, texts = task.examples.lengths, task.texts
    kept = [i for i in task.train if probe.fits(texts[i], lengths[i])]
    if not kept:
        raise ValueError(
            f"none of the {len(task.train)} training utterances has a label that fits into its "
            "frames; check that labels and audio belong together."
        )
    if len(kept) < len(task.train):
        logger.warning(
            "%d of %d training utterances left out: no label, or more than frames.",
            len(task.train) - len(kept), len(task.train),
        )  # fmt: skip
    return kept
