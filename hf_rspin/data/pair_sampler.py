"""Batches of pairs whose views differ in length, similar lengths together in both views."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from hf_rspin.data.dataset import PERTURBED_VIEW, TwoViewDataset
from hf_rspin.data.sampler import ATTEMPTS, LENGTH_JITTER, DurationBatchSampler
from hf_rspin.seeding import example_generator


class PairBatchSampler(DurationBatchSampler):
    """`DurationBatchSampler` for two views: first by speed, then by length.

    The second view is as long as the first over the speed that will be drawn for it, which is a
    function of (seed, epoch, index): utterances of one speed and of similar length are alike in
    both views. `batch_seconds` counts the longer view. Every epoch has as many batches as if every
    utterance were played at the slowest speed.

    Args:
        durations: seconds of each example in the first view.
        batch_seconds: the most seconds of the longer view in one batch (of one rank).
        pairs: the most pairs in one batch; None for no limit.
        draw_speeds: gives the speeds (examples,) of an epoch.
        slowest: the least speed there is.
        seed: seed of the order.
        rank: this process.
        world_size: number of processes.
        shuffle: False keeps one packing, that of epoch 0, and its order (evaluation).

    Raises:
        ValueError: see `DurationBatchSampler`, or `pairs` below 1.
    """

    def __init__(
        self,
        durations: Sequence[float],
        batch_seconds: float,
        pairs: int | None,
        draw_speeds: Callable[[int], np.ndarray],
        slowest: float,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        shuffle: bool = True,
    ):
        if pairs is not None and pairs < 1:
            raise ValueError(f"pairs is {pairs}; expected at least 1, or None for no limit.")
        self.pairs, self.draw_speeds, self.slowest = pairs, draw_speeds, min(slowest, 1.0)
        self._lengths = np.asarray(durations, dtype=np.float64) / self.slowest
        super().__init__(self._lengths, batch_seconds, seed, rank, world_size, shuffle)
        self.first_view = np.asarray(durations, dtype=np.float64)
        if pairs != 1:
            # where the speed changes a batch may stay unfilled: one more for each other speed
            more = self.num_batches + len(np.unique(draw_speeds(0))) - 1
            self.num_batches = -(-min(more, len(durations)) // world_size) * world_size

    def batches(self, epoch: int) -> list[np.ndarray]:
        """Return the batches of all ranks in `epoch`, as arrays of indices, in their order."""
        epoch = epoch if self.shuffle else 0
        speeds = np.asarray(self.draw_speeds(epoch), dtype=np.float64)
        generator = np.random.default_rng(np.random.SeedSequence([self.seed, epoch]))
        self._lengths = np.maximum(self.first_view, self.first_view / speeds)
        for attempt in range(ATTEMPTS + 1):
            jitter = LENGTH_JITTER if attempt < ATTEMPTS and self.shuffle else 0.0
            noise = np.exp(jitter * generator.standard_normal(len(speeds)))
            packed = self._pack(np.lexsort((self.first_view * noise, speeds)))
            if len(packed) <= self.num_batches:
                break
        else:  # the packing that the number of batches was counted with
            self._lengths = self.first_view / self.slowest
            packed = self._pack(np.argsort(self.first_view, kind="stable"))
        batches = self._split(packed, epoch)
        if not self.shuffle:
            return batches
        return [batches[i] for i in generator.permutation(len(batches))]

    def _pack(self, order: np.ndarray) -> list[np.ndarray]:
        """Cut `order` into runs, each as long and of as many pairs as one batch may hold."""
        batches, start, used = [], 0, 0.0
        limit = self.batch_seconds * (1 + 1e-9)
        most = len(order) if self.pairs is None else self.pairs
        for place, seconds in enumerate(self._lengths[order]):
            if place > start and (used + seconds > limit or place - start >= most):
                batches.append(order[start:place])
                start, used = place, 0.0
            used += seconds
        return [*batches, order[start:]]


def drawn_speeds(dataset: TwoViewDataset, epoch: int) -> np.ndarray:
    """Return the speeds (utterances,) that `LaserViews` will draw for a data set in an epoch."""
    generators = (
        example_generator(dataset.seed, epoch, index, PERTURBED_VIEW)
        for index in range(len(dataset))
    )
    return np.array([dataset.views.draw_speed(generator) for generator in generators])
