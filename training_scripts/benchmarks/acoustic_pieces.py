"""Time acoustic pieces at the scale of a corpus: simulate units, learn pieces, encode.

The defaults are LibriSpeech 960 h: 281k utterances of about 600 frames, 2048 units, 40k pieces.
Units follow a Markov chain (each unit has its own successors, Zipf-distributed) and last 1 to 4
frames. With --peer, the library `tokenizers` learns from the same units. Prints CPU and wall
seconds of each part, and the peak memory of the whole process.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Iterator

import numba
import numpy as np

from hf_rspin.units import AcousticPieces

FIRST_CHARACTER = 0x4E00  # of a block that no normaliser touches
RUN_LENGTHS = np.array([0.35, 0.70, 0.90, 1.0])  # cumulative, of 1, 2, 3 and 4 frames


@numba.njit(cache=True)
def markov_units(
    offsets: np.ndarray, table: np.ndarray, cumulative: np.ndarray, runs: np.ndarray, seed: int
) -> np.ndarray:
    """Return units (frames,) of all utterances; `table` (units, successors) of each unit."""
    np.random.seed(seed)
    units = np.empty(offsets[-1], np.int16)
    for utterance in range(len(offsets) - 1):
        unit, frame = np.random.randint(len(table)), offsets[utterance]
        while frame < offsets[utterance + 1]:
            length = 1 + np.searchsorted(runs, np.random.random(), side="right")
            stop = min(frame + length, offsets[utterance + 1])
            units[frame:stop] = unit
            frame = stop
            successor = np.searchsorted(cumulative, np.random.random(), side="right")
            unit = table[unit, min(successor, table.shape[1] - 1)]
    return units


def simulate(args: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    """Return all units (frames,) and the offsets (utterances + 1,) of the utterances."""
    rng = np.random.default_rng(args.seed)
    lengths = np.clip(rng.normal(args.frames, args.frames / 3, args.utterances), 70, 1700)
    offsets = np.append(0, np.cumsum(lengths.astype(np.int64)))
    table = rng.integers(0, args.units, (args.units, args.successors))
    weights = 1 / np.arange(1, args.successors + 1)
    return markov_units(
        offsets, table, np.cumsum(weights) / weights.sum(), RUN_LENGTHS, args.seed
    ), offsets


def utterances(units: np.ndarray, offsets: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the units of one utterance after the other."""
    for start, stop in zip(offsets[:-1], offsets[1:], strict=True):
        yield units[start:stop]


def report(name: str, wall: float, cpu: float) -> None:
    """Print the seconds since `wall` and `cpu`, and the peak memory so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{name}: {time.process_time() - cpu:.1f} s CPU, {time.perf_counter() - wall:.1f} s wall, "
        f"peak memory so far {peak:.2f} GiB",
        flush=True,
    )


def time_tokenizers(units: np.ndarray, offsets: np.ndarray, pieces: int) -> None:
    """Learn as many pieces by the BPE of `tokenizers`: a unit is a character, runs are merged."""
    from tokenizers import Tokenizer, models, trainers

    def texts() -> Iterator[str]:
        for one in utterances(units, offsets):
            changes = np.append(True, one[1:] != one[:-1])
            yield "".join(chr(FIRST_CHARACTER + unit) for unit in one[changes].tolist())

    wall, cpu = time.perf_counter(), time.process_time()
    tokenizer = Tokenizer(models.BPE())
    trainer = trainers.BpeTrainer(vocab_size=pieces, min_frequency=2, show_progress=False)
    tokenizer.train_from_iterator(texts(), trainer)
    report(f"tokenizers: {tokenizer.get_vocab_size()} pieces", wall, cpu)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--utterances", type=int, default=281_000)
    parser.add_argument("--frames", type=int, default=600, help="mean frames per utterance")
    parser.add_argument("--units", type=int, default=2048)
    parser.add_argument("--successors", type=int, default=128, help="successors of each unit")
    parser.add_argument("--pieces", type=int, default=40_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-progress", action="store_true")
    parser.add_argument("--peer", action="store_true", help="time `tokenizers` as well")
    args = parser.parse_args()
    for name in ("utterances", "frames", "units", "successors"):
        if getattr(args, name) < 1:
            parser.error(f"--{name} is {getattr(args, name)}; expected at least 1")
    if args.pieces < args.units:
        parser.error(f"--pieces is {args.pieces}; expected at least --units ({args.units})")
    units, offsets = simulate(args)
    warm_up = [np.arange(8) % 3] * 2
    AcousticPieces.train(warm_up, vocab_size=4, progress=False).encode(warm_up[0])  # compiles
    wall, cpu = time.perf_counter(), time.process_time()
    report(f"simulated {len(offsets) - 1} utterances, {len(units)} frames", wall, cpu)
    pieces = AcousticPieces.train(
        utterances(units, offsets), args.pieces, progress=not args.no_progress
    )
    report(f"train: {pieces.vocab_size} pieces, {pieces.num_labels} labels", wall, cpu)
    wall, cpu = time.perf_counter(), time.process_time()
    frames = np.zeros(pieces.num_labels, np.int64)
    for labels in map(pieces.encode, utterances(units, offsets)):
        np.add.at(frames, labels, 1)
    report(f"encode: {frames.sum()} frames, rarest label {frames.min()} frames", wall, cpu)
    if args.peer:
        time_tokenizers(units, offsets, args.pieces)
