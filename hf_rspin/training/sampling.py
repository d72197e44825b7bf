"""Which examples make a batch: what `SpeechTrainer` is handed by each objective."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from torch.utils.data import Dataset, Sampler

from hf_rspin.data.dataset import TwoViewDataset
from hf_rspin.data.pair_sampler import PairBatchSampler, drawn_speeds
from hf_rspin.data.sampler import DurationBatchSampler
from hf_rspin.training.training_arguments import LaserTrainingArguments, SpeechTrainingArguments


def duration_batches(
    dataset: Dataset, args: SpeechTrainingArguments, shuffle: bool
) -> DurationBatchSampler:
    """Return this rank's batches of `args.batch_seconds`."""
    return DurationBatchSampler(
        dataset.durations,
        args.batch_seconds,
        seed=args.seed if args.data_seed is None else args.data_seed,
        rank=args.process_index,
        world_size=args.world_size,
        shuffle=shuffle,
    )


def pair_batches(
    dataset: TwoViewDataset, args: LaserTrainingArguments, shuffle: bool
) -> PairBatchSampler:
    """Return this rank's batches of `args.pairs_per_batch` pairs, alike in length and speed."""
    return PairBatchSampler(
        dataset.durations,
        args.batch_seconds,
        args.pairs_per_batch,
        partial(drawn_speeds, dataset),
        min(dataset.views.speeds),
        seed=args.seed if args.data_seed is None else args.data_seed,
        rank=args.process_index,
        world_size=args.world_size,
        shuffle=shuffle,
    )


class ReadyBatches(Sampler[list[int]]):
    """This rank's items of a data set whose items are whole batches, in their order."""

    def __init__(self, dataset: Dataset, args: SpeechTrainingArguments, shuffle: bool = False):
        self.items = range(args.process_index, len(dataset), args.world_size)

    def __len__(self) -> int:
        """Return the number of batches of this rank."""
        return len(self.items)

    def __iter__(self) -> Iterator[list[int]]:
        """Yield one item at a time."""
        return ([item] for item in self.items)

    def set_epoch(self, epoch: int) -> None:
        """Do nothing: the items know their epoch."""
