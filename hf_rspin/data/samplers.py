"""Batches by total duration, of utterances or pairs of similar length, the same in every run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler

from hf_rspin.data.dataset import PERTURBED_VIEW, TwoViewDataset
from hf_rspin.seeding import example_generator

LENGTH_JITTER = 0.1  # sorting noise, relative to the length: batches differ between epochs
ATTEMPTS = 8  # jittered packings tried before the plain sorted one, which always fits


class DurationBatchSampler(Sampler[list[tuple[int, int]]]):
    """Yield lists of `(epoch, index)` whose durations sum to at most `batch_seconds`.

    Every index comes once per epoch over all ranks. The number of batches is the same in
    every epoch and on every rank, as the step arithmetic of `Trainer` and the collectives of
    distributed training need: where the packing of an epoch gives fewer batches, its largest ones
    are halved. Batches are a function of (seed, epoch) alone; rank r takes every `world_size`-th.
    The epoch travels with each index, so that dataset workers need no `set_epoch`.

    Args:
        durations: seconds of each example after cropping.
        batch_seconds: the most seconds one batch (of one rank) may hold.
        seed: seed of the order.
        rank: this process.
        world_size: number of processes.
        shuffle: False keeps the sorted order and one packing (evaluation).

    Raises:
        ValueError: no durations, one longer than a batch, or fewer examples than ranks.
    """

    def __init__(
        self,
        durations: Sequence[float],
        batch_seconds: float,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        shuffle: bool = True,
    ):
        self.durations = np.asarray(durations, dtype=np.float64)
        self.batch_seconds, self.seed, self.shuffle = batch_seconds, seed, shuffle
        self.rank, self.world_size = rank, world_size
        self.epoch = 0
        self._check()
        fewest = len(self._pack(np.argsort(self.durations, kind="stable")))
        self.num_batches = -(-fewest // world_size) * world_size  # over all ranks

    def __len__(self) -> int:
        """Return the number of batches of this rank in any epoch."""
        return self.num_batches // self.world_size

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration yields."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        """Yield the batches of this rank in the current epoch."""
        epoch = self.epoch
        for batch in self.batches(epoch)[self.rank :: self.world_size]:
            yield [(epoch, int(index)) for index in batch]

    def batches(self, epoch: int) -> list[np.ndarray]:
        """Return the batches of all ranks in `epoch`, as arrays of indices, in their order."""
        if not self.shuffle:
            return self._split(self._pack(np.argsort(self.durations, kind="stable")), 0)
        generator = np.random.default_rng(np.random.SeedSequence([self.seed, epoch]))
        for attempt in range(ATTEMPTS + 1):
            jitter = LENGTH_JITTER if attempt < ATTEMPTS else 0.0
            noise = generator.standard_normal(len(self.durations))
            order = np.argsort(self.durations * np.exp(jitter * noise), kind="stable")
            packed = self._pack(order)
            if len(packed) <= self.num_batches:
                break
        batches = self._split(packed, epoch)
        return [batches[i] for i in generator.permutation(len(batches))]

    def _pack(self, order: np.ndarray) -> list[np.ndarray]:
        """Cut `order` into runs, each as long as `batch_seconds` allows."""
        ends = np.cumsum(self.durations[order])
        batches, start = [], 0
        while start < len(order):
            used = ends[start - 1] if start else 0.0
            limit = used + self.batch_seconds * (1 + 1e-9)  # rounding of the cumulative sum
            stop = max(start + 1, int(np.searchsorted(ends, limit, side="right")))
            batches.append(order[start:stop])
            start = stop
        return batches

    def _split(self, batches: list[np.ndarray], epoch: int) -> list[np.ndarray]:
        """Halve the batches with the most utterances until there are `num_batches`.

        Where there are fewer utterances than that some come twice, others in every epoch.
        """
        batches = list(batches)
        while len(batches) < self.num_batches:
            largest = max(range(len(batches)), key=lambda i: len(batches[i]))
            whole = batches[largest]
            if len(whole) == 1:
                missing = self.num_batches - len(batches)
                order = np.random.default_rng([self.seed, epoch, 1]).permutation(len(batches))
                return batches + [batches[i] for i in np.resize(order, missing)]
            batches[largest] = whole[: len(whole) // 2]
            batches.append(whole[len(whole) // 2 :])
        return batches

    def _check(self) -> None:
        count = len(self.durations)
        if count < max(1, self.world_size):
            raise ValueError(
                f"{count} utterances are left to train on, but {self.world_size} process(es) each "
                "need at least one: use more data or fewer processes."
            )
        longest = float(self.durations.max())
        if longest > self.batch_seconds:
            raise ValueError(
                f"batch_seconds is {self.batch_seconds:g} but the longest utterance has "
                f"{longest:.2f} s: raise batch_seconds or lower max_seconds of the dataset."
            )


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
