"""Batches by total duration, of utterances of similar length, the same for every worker and run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler

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
