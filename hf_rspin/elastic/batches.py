"""Batches of elastic distillation: masked crops, their targets, and the number of the forward."""

from __future__ import annotations

from typing import Any

from hf_rspin.distillation.batches import DistillationBatches
from hf_rspin.distillation.teacher_cache import TeacherCache


class ElasticBatches(DistillationBatches):
    """The batches of a run, each a function of (seed, update) alone.

    Args:
        cache: targets of the teacher; one layer.
        num_updates: length of the data set, over all ranks and micro-batches.
        world_size: processes; those of one forward draw the same subnet.
        **options: of `DistillationBatches`.
    """

    def __init__(self, cache: TeacherCache, num_updates: int, world_size: int = 1, **options: Any):
        super().__init__([cache], num_updates, **options)
        self.world_size = world_size

    def __getitem__(self, update: int) -> dict[str, Any]:
        """Return `input_values`, `targets` (batch, frames, dim), mask, and number of forward."""
        batch = super().__getitem__(update)
        batch["targets"] = batch["targets"][0][:, 0]
        return batch | {"forward_number": update // self.world_size}
