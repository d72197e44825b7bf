"""Which examples make a batch, by objective, and the loader that reads them."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch.utils.data import DataLoader, Dataset, Sampler
from transformers import TrainingArguments

from hf_rspin.data.dataset import TwoViewDataset
from hf_rspin.data.samplers import DurationBatchSampler, PairBatchSampler, drawn_speeds
from hf_rspin.training.training_arguments import LaserTrainingArguments, SpeechTrainingArguments


def duration_batches(
    dataset: Dataset, args: SpeechTrainingArguments, shuffle: bool
) -> DurationBatchSampler:
    """Return this rank's batches of `args.batch_seconds`."""
    return DurationBatchSampler(
        dataset.durations, args.batch_seconds, **_share(args), shuffle=shuffle
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
        **_share(args),
        shuffle=shuffle,
    )


def _share(args: SpeechTrainingArguments) -> dict[str, int]:
    seed = args.seed if args.data_seed is None else args.data_seed
    return {"seed": seed, "rank": args.process_index, "world_size": args.world_size}


class ReadyBatches(Sampler[list[int]]):
    """This rank's items of a data set whose items are whole batches, in their order."""

    def __init__(self, dataset: Dataset, args: SpeechTrainingArguments, shuffle: bool = False):
        self.items = range(args.process_index, len(dataset), args.world_size)

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[list[int]]:
        """Yield one item at a time."""
        return ([item] for item in self.items)

    def set_epoch(self, epoch: int) -> None:
        """Do nothing: the items know their epoch."""


class EpochDataLoader(DataLoader):
    """A DataLoader that passes the epoch on to its batch sampler."""

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration yields."""
        self.batch_sampler.set_epoch(epoch)

    @classmethod
    def of(
        cls, dataset: Dataset, batch_sampler: Sampler, collate: Callable, args: TrainingArguments
    ) -> EpochDataLoader:
        """Return a loader with the workers that `args` ask for."""
        return cls(
            dataset,
            batch_sampler=batch_sampler,
            collate_fn=collate,
            num_workers=args.dataloader_num_workers,
            pin_memory=args.dataloader_pin_memory and args.device.type == "cuda",
            persistent_workers=args.dataloader_persistent_workers,
            prefetch_factor=args.dataloader_prefetch_factor,
            multiprocessing_context=args.dataloader_multiprocessing_context,
            worker_init_fn=_leave_signals_to_the_run,
            generator=torch.Generator(),  # the loader's own draws leave the global state alone
        )


def _leave_signals_to_the_run(worker: int) -> None:
    """Let Ctrl-C and SIGUSR1 reach the run only, and SIGTERM end a worker in any case."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGUSR1"):  # a scheduler sends it to every process of a job
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
