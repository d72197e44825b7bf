"""Average named losses between two logs, over micro-batches and processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch.utils.data import Dataset
from transformers.utils import ModelOutput

from hf_rspin.training.speech_run import SpeechRun

Reduce = Callable[[torch.Tensor], torch.Tensor]


class LossTracker:
    """Sums named scalars on their device, without waiting for it, until `compute`.

    Every micro-batch weighs the same, as in the gradient: the parts of the logged loss add up to
    it. `totals` are summed instead, over the whole run (hours of speech, skipped files).

    Args:
        totals: of the run so far; added to in place.
    """

    def __init__(self, totals: dict[str, float] | None = None):
        self.sums: dict[str, torch.Tensor] = {}
        self.count = 0.0
        self.totals = {} if totals is None else totals
        self._local: dict[str, float] = {}

    def update(self, parts: Mapping[str, torch.Tensor], weight: float = 1.0) -> None:
        """Add one micro-batch; each value is a scalar tensor.

        `weight` is its share of the examples of all ranks, times their number.
        """
        for name, value in parts.items():
            value = weight * value.detach().double()
            self.sums[name] = self.sums[name] + value if name in self.sums else value
        self.count += weight

    def add(self, name: str, amount: float) -> None:
        """Add to a total of this process."""
        self._local[name] = self._local.get(name, 0.0) + amount

    def compute(self, reduce: Reduce) -> dict[str, float]:
        """Return the means since the last call over all processes, and begin again.

        Args:
            reduce: sums a tensor over the processes; every process must call `compute` together.
        """
        if not self.sums:
            return {}
        names = sorted(self.sums)
        count = torch.tensor(self.count, dtype=torch.double)
        values = torch.stack([self.sums[name] for name in names] + [count.to(self.sums[names[0]])])
        *sums, count = reduce(values).tolist()
        self.sums, self.count = {}, 0.0
        return {name: value / count for name, value in zip(names, sums, strict=True)}

    def gather_totals(self, reduce: Reduce) -> None:
        """Bring what every process added since the last call into `totals`."""
        names = sorted(self._local)
        if not names:
            return
        values = reduce(torch.tensor([self._local[name] for name in names]))
        for name, value in zip(names, values.tolist(), strict=True):
            self.totals[name] = self.totals.get(name, 0.0) + value
            self._local[name] = 0.0


def scalars(outputs: ModelOutput) -> dict[str, torch.Tensor]:
    """Return the named scalars of a model's output but the loss, which `Trainer` logs."""
    return {
        name: value
        for name, value in outputs.items()
        if isinstance(value, torch.Tensor)
        and value.dim() == 0
        and name not in ("loss", "num_frames")
    }


@torch.no_grad()
def mean_losses(trainer: SpeechRun, dataset: Dataset) -> dict[str, float]:
    """Return the mean loss and named parts over the batches of all ranks, in eval mode."""
    model, meter = trainer.model, LossTracker()
    training = model.training
    model.eval()
    for inputs in trainer.get_eval_dataloader(dataset):
        inputs = trainer._prepare_inputs(inputs)
        for skipped in inputs.pop("batch_info").skipped:
            trainer.skipped.add(skipped)
        with trainer.compute_loss_context_manager():
            outputs = model(**inputs)
        meter.update({"loss": outputs.loss, **scalars(outputs)})
    model.train(training)
    return meter.compute(trainer._sum_over_ranks)
