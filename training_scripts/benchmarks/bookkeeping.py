"""Time the bookkeeping of a large corpus: durations, ids and labels only, no audio and no model.

    python training_scripts/benchmark.py bookkeeping --hours 60000 --output_dir /data/scratch

It plans the shards of a labelling by many processes, joins units (drawn at random) into labels on
the disk, opens them, reads some as a data loader does, chooses what acoustic pieces are learned
from, and packs the batches of an epoch for the first of many ranks. Prints seconds and the memory
of the process after each part; pages of files that the system could give back do not count. The
labels (2 bytes a frame) are removed at the end.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hf_rspin.data.samplers import DurationBatchSampler
from hf_rspin.labelling.run import learned_from
from hf_rspin.training.cli import exit_on_user_error, parse_arguments
from hf_rspin.units import FrameLabels
from hf_rspin.units.shards import Shards
from hf_rspin.utils import option

FRAMES_PER_SECOND = 50


@dataclass
class BookkeepingArguments:
    """How large the corpus is, and by how many it is divided."""

    hours: float = option(60_000.0, "speech in the corpus")
    utterance_seconds: float = option(14.0, "mean length of an utterance (log-normal, 1 to 35 s)")
    num_units: int = option(2048, "labels are 0 to one less")
    num_parts: int = option(128, "processes that label, and ranks that train")
    batch_seconds: float = option(256.0, "speech of a batch")
    reads: int = option(10_000, "utterances whose labels are read, in random order")
    piece_hours: float = option(1000.0, "speech that acoustic pieces are learned from")
    seed: int = option(0, "of everything")
    output_dir: str = option("runs/bookkeeping", "for the labels, which need 0.36 MB an hour")


def own_memory() -> float:
    """Return the memory of this process in GB that is not pages of files."""
    text = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in text.splitlines() if "RssAnon" in line) / 1e6


@contextmanager
def part(what: str) -> Iterator[None]:
    """Print how long what is inside took, and the memory after it."""
    start = time.perf_counter()
    yield
    print(f"{what:<58} {time.perf_counter() - start:8.1f} s {own_memory():7.2f} GB", flush=True)


def draw_durations(arguments: BookkeepingArguments, rng: np.random.Generator) -> np.ndarray:
    """Return durations (utterances,) in seconds that last `hours` together."""
    count = int(arguments.hours * 3600 / arguments.utterance_seconds * 1.1)
    spread = 0.4
    drawn = rng.lognormal(np.log(arguments.utterance_seconds) - spread**2 / 2, spread, count)
    drawn = np.clip(drawn, 1.0, 35.0)
    return drawn[: int(np.searchsorted(np.cumsum(drawn), arguments.hours * 3600))]


def fill(
    values: np.ndarray, shards: Shards, lengths: np.ndarray, num_units: int, seed: int
) -> None:
    """Write random units where those of each shard belong, as joining shards does."""
    ends = np.cumsum(lengths)
    for number, rows in enumerate(shards.rows):
        rng = np.random.default_rng([seed, number])
        found = rng.integers(0, num_units, int(lengths[rows].sum()), dtype=np.int16)
        first = 0
        for row in rows:
            length = int(lengths[row])
            values[ends[row] - length : ends[row]] = found[first : first + length]
            first += length


def run(arguments: BookkeepingArguments) -> None:
    """Do all parts, one after the other."""
    rng, output = np.random.default_rng(arguments.seed), Path(arguments.output_dir)
    with part("durations and ids"):
        durations = draw_durations(arguments, rng)
        ids = [f"utterance_{number:09d}" for number in range(len(durations))]
        lengths = np.maximum(1, (durations * FRAMES_PER_SECOND).astype(np.int64))
    print(f"{len(ids):,} utterances, {durations.sum() / 3600:,.0f} h, {lengths.sum():,} frames")
    with part("plan of the shards"):
        shards = Shards(output / "units.partial", {"kind": "random"}, ids, durations, 3600.0)
    with part(f"what one of {arguments.num_parts} processes is to do"):
        mine = list(shards.missing(0, arguments.num_parts))
    print(f"{len(shards.rows):,} shards, {len(mine):,} of them of the first process")
    with part("units of all shards into one file"), FrameLabels.being_written(
        output / "units", ids, lengths, arguments.num_units, {}
    ) as values:
        fill(values, shards, lengths, arguments.num_units, arguments.seed)
    del values, ids, shards, mine
    with part("open the labels"):
        labels = FrameLabels.load(output / "units")
    with part(f"labels of {arguments.reads:,} utterances, in random order"):
        for row in rng.integers(0, len(labels), arguments.reads):
            labels[labels.ids[row]]
    with part(f"choose {arguments.piece_hours:g} h for acoustic pieces"):
        learned_from(labels, arguments.piece_hours, arguments.seed)
    with part(f"batches of an epoch, of the first of {arguments.num_parts} ranks"):
        sampler = DurationBatchSampler(
            np.minimum(durations, 17.0), arguments.batch_seconds, world_size=arguments.num_parts
        )
        count = sum(1 for _ in sampler)
    print(f"{count:,} batches of up to {arguments.batch_seconds:g} s for each rank")


def main() -> None:
    """Run, and remove what was written."""
    (arguments,) = parse_arguments(BookkeepingArguments)
    output = Path(arguments.output_dir)
    with exit_on_user_error():
        if output.exists() and any(output.iterdir()):
            raise ValueError(f"{output} is not empty; name a new folder with --output_dir.")
        if not (arguments.hours > 0 and arguments.num_parts > 0):
            raise ValueError("hours and num_parts: expected numbers above 0.")
        try:
            run(arguments)
        finally:
            shutil.rmtree(output, ignore_errors=True)


if __name__ == "__main__":
    main()
