"""Two-view losses on held-out speech."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.utils.data import DataLoader

from hf_rspin.training.meter import Meter, scalars

if TYPE_CHECKING:
    from hf_rspin.training.trainer import TwoViewTrainer


@torch.no_grad()
def mean_losses(trainer: TwoViewTrainer, loader: DataLoader) -> dict[str, float]:
    """Return the mean loss and named parts over the batches of all ranks, in eval mode."""
    model, meter = trainer.model, Meter()
    training = model.training
    model.eval()
    for inputs in loader:
        inputs = trainer._prepare_inputs(inputs)
        for skipped in inputs.pop("batch_info").skipped:
            trainer.skipped.add(skipped)
        with trainer.compute_loss_context_manager():
            outputs = model(**inputs)
        meter.update({"loss": outputs.loss, **scalars(outputs)})
    model.train(training)
    return meter.pop(trainer._sum_over_ranks)
