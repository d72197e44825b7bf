"""Time the bookkeeping of a large corpus: durations, ids and labels only, no audio and no model.

    python training_scripts/benchmark.py bookkeeping --hours 60000 --output_dir /data/scratch

It plans the shards of a labelling by many processes, writes the part of each (units drawn at
random), joins the parts into labels on the disk, opens them, reads some as a data loader does,
fingerprints them as the start of a training does, chooses what acoustic pieces are learned from,
and packs the batches of an epoch for the first of many ranks.

Prints seconds, seconds of the processor (less where the disk, or other work on the machine, was
waited for) and the highest memory of the process in each step; pages of files that the system could
give back do not count. A part is removed once it is joined, so that the disk holds the labels
once (0.36 MB an hour); a real join keeps the parts to its end. All is removed at the end.
"""

from __future__ import annotations

import shutil
import threading
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
from hf_rspin.utils import check_space, option

FRAMES_PER_SECOND = 50
LABEL_BYTES = 2.2  # of a frame: one set of labels, and what is written beside it


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
    output_dir: str = option("runs/bookkeeping", "for the labels, which need 0.4 MB an hour")


def own_memory() -> float:
    """Return the memory of this process in GB that is not pages of files."""
    text = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in text.splitlines() if "RssAnon" in line) / 1e6


@contextmanager
def step(what: str) -> Iterator[None]:
    """Print the seconds of what is inside, those of the processor, and the most memory in it."""
    most, ended = [own_memory()], threading.Event()

    def look() -> None:
        while not ended.wait(0.1):
            most.append(max(most.pop(), own_memory()))

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    start, busy = time.perf_counter(), time.process_time()
    try:
        yield
    finally:
        seconds, busy = time.perf_counter() - start, time.process_time() - busy
        ended.set()
        watcher.join()
    memory = max(*most, own_memory())
    print(f"{what:<56} {seconds:8.1f} s {busy:8.1f} s {memory:7.2f} GB", flush=True)


def draw_durations(arguments: BookkeepingArguments, rng: np.random.Generator) -> np.ndarray:
    """Return durations (utterances,) in seconds that last `hours` together."""
    count = int(arguments.hours * 3600 / arguments.utterance_seconds * 1.1)
    spread = 0.4
    drawn = rng.lognormal(np.log(arguments.utterance_seconds) - spread**2 / 2, spread, count)
    drawn = np.clip(drawn, 1.0, 35.0)
    return drawn[: int(np.searchsorted(np.cumsum(drawn), arguments.hours * 3600))]


def write_parts(shards: Shards, lengths: np.ndarray, num_units: int, seed: int) -> None:
    """Write random units (frames,) of every utterance, a file for each shard."""
    for number, rows in enumerate(shards.rows):
        ends = np.cumsum(lengths[rows])
        rng = np.random.default_rng([seed, number])
        drawn = rng.integers(0, num_units, int(ends[-1]), dtype=np.int16)
        shards.write(number, dict(zip(rows.tolist(), np.split(drawn, ends[:-1]), strict=True)))


def join_and_remove(
    shards: Shards, folder: Path, ids: list[str], lengths: np.ndarray, num_units: int
) -> None:
    """Do what `hf_rspin.units.extract.join_parts` does, but remove each part when it is done."""
    found = shards.lengths()
    if not np.array_equal(found, lengths):
        raise ValueError("the parts hold other lengths than were written.")
    starts = np.cumsum(found) - found
    with FrameLabels.being_written(folder, ids, found, num_units, {}) as values:
        for number in range(len(shards.rows)):
            shards.fill_one(number, values, starts, num_units)
            shards.path(number).unlink()


def label(arguments: BookkeepingArguments, output: Path, durations: np.ndarray) -> None:
    """Plan the shards, write their parts, and join these."""
    parts, units = arguments.num_parts, arguments.num_units
    with step("ids and lengths"):
        ids = [f"utterance_{number:09d}" for number in range(len(durations))]
        lengths = np.maximum(1, (durations * FRAMES_PER_SECOND).astype(np.int64))
    print(f"{len(ids):,} utterances, {durations.sum() / 3600:,.0f} h, {lengths.sum():,} frames")
    with step("plan of the shards"):
        shards = Shards(output / "units.partial", {"kind": "random"}, ids, durations, 3600.0)
    with step(f"what one of {parts} processes is to do"):
        mine = list(shards.missing(0, parts))
    print(f"{len(shards.rows):,} shards, {len(mine):,} of them of the first process")
    with step("draw and write the parts of all processes (simulated)"):
        write_parts(shards, lengths, units, arguments.seed)
    with step("join the parts, removing each"):
        join_and_remove(shards, output / "units", ids, lengths, units)
    size = (output / "units" / "labels.npy").stat().st_size
    print(f"{size / 1e9:.2f} GB of labels")


def use(arguments: BookkeepingArguments, output: Path, durations: np.ndarray) -> None:
    """Open the labels and read them as a training and the learning of acoustic pieces do."""
    rng = np.random.default_rng(arguments.seed)
    with step("open the labels"):
        labels = FrameLabels.load(output / "units")
    with step(f"labels of {arguments.reads:,} utterances, in random order"):
        for row in rng.integers(0, len(labels), arguments.reads):
            labels[labels.ids[row]]
    with step("fingerprint of the labels, at the start of a training"):
        labels.fingerprint()
    with step(f"choose {arguments.piece_hours:g} h for acoustic pieces"):
        learned_from(labels, arguments.piece_hours, arguments.seed)
    with step(f"batches of an epoch, of the first of {arguments.num_parts} ranks"):
        sampler = DurationBatchSampler(
            np.minimum(durations, 17.0), arguments.batch_seconds, world_size=arguments.num_parts
        )
        count = sum(1 for _ in sampler)
    print(f"{count:,} batches of up to {arguments.batch_seconds:g} s for each rank")


def run(arguments: BookkeepingArguments) -> None:
    """Do all steps, one after the other."""
    output = Path(arguments.output_dir)
    check_space(output, arguments.hours * 3600 * FRAMES_PER_SECOND * LABEL_BYTES)
    with step("durations"):
        durations = draw_durations(arguments, np.random.default_rng(arguments.seed))
    label(arguments, output, durations)
    use(arguments, output, durations)


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
