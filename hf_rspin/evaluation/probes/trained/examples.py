"""What a probe is trained on: utterances of a feature store, whole or as means of crops."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from hf_rspin.evaluation.feature_store import FeatureStore


class Utterances:
    """Whole utterances of a store.

    Args:
        store: clean features.

    Attributes:
        lengths: frames of each utterance, as a probe sees them.
    """

    def __init__(self, store: FeatureStore) -> None:
        self.store = store
        self.lengths: Sequence[int] = store.lengths

    def batch(
        self, indices: Sequence[int], rng: np.random.Generator | None = None
    ) -> tuple[Tensor, list[int]]:
        """Return the frames (layers, all frames, dim) of some utterances, and the number of each.

        The next batch may overwrite this one.

        Args:
            indices: utterances.
            rng: of what training draws; None: nothing is drawn, as for dev scores.
        """
        return self.store.gather(indices, reuse=True)


class CroppedMeans(Utterances):
    """The mean over a random crop of each utterance, as its only frame.

    For heads that are linear up to a mean over time: the result is theirs, and a training reads
    the features of short utterances once instead of at every update.

    Args:
        store: clean features.
        max_frames: longer utterances are cropped while training; None: never.
    """

    def __init__(self, store: FeatureStore, max_frames: int | None = None) -> None:
        super().__init__(store)
        self.lengths = [1] * len(store)
        self.max_frames = max_frames or max(store.lengths)
        self._means: dict[int, Tensor] = {}

    def batch(
        self, indices: Sequence[int], rng: np.random.Generator | None = None
    ) -> tuple[Tensor, list[int]]:
        """See `Utterances.batch`: one frame per utterance."""
        return torch.stack([self._mean(int(i), rng) for i in indices], dim=1), [1] * len(indices)

    def _mean(self, index: int, rng: np.random.Generator | None) -> Tensor:
        spare = self.store.lengths[index] - self.max_frames
        if rng is not None and spare > 0:
            start = int(rng.integers(0, spare + 1))
            return self.store.peek(index)[:, start : start + self.max_frames].mean(1)
        if index not in self._means:
            self._means[index] = self.store.peek(index).mean(1)
        return self._means[index]


def random_batches(
    lengths: Sequence[int],
    indices: Sequence[int],
    batch_size: int,
    rng: np.random.Generator,
    pool: int = 1,
) -> Iterator[list[int]]:
    """Yield batches without end; in an epoch no utterance comes twice.

    The last utterances of an epoch, fewer than a batch, are left to the next, drawn anew.

    Args:
        lengths: frames of every utterance.
        indices: those to draw from.
        batch_size: utterances; all, where there are fewer.
        rng: decides the order.
        pool: so many batches at a time are sorted by length, for heads that pay for padding.
    """
    size = min(batch_size, len(indices))
    while True:
        order = rng.permutation(np.asarray(indices))[: len(indices) // size * size]
        for start in range(0, len(order), pool * size):
            chunk = order[start : start + pool * size]
            if pool > 1:
                chunk = chunk[np.argsort(np.asarray(lengths)[chunk], kind="stable")]
                chunk = rng.permutation(chunk.reshape(-1, size)).reshape(-1)
            yield from chunk.reshape(-1, size).tolist()
