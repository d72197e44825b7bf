"""Walk a corpus in blocks, turn waveforms into rows, write one file after the other."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

import datasets
import numpy as np
from tqdm.auto import tqdm

from hf_rspin.data.skipped import SkippedFile, SkippedFiles
from hf_rspin.extraction.output import OutputFolder
from hf_rspin.sharding import part_of
from hf_rspin.units.extract import read_utterance
from hf_rspin.units.recordings import similar_batches

logger = logging.getLogger(__name__)

BLOCK_SECONDS = 600.0  # of audio read at once; two blocks are in memory


class Describer(Protocol):
    """What turns waveforms into the columns of their rows.

    Attributes:
        provenance: what decides the columns, JSON values.
        about: title, columns and how to read them, for the index.
        main_column: the one that most want.
        pads: utterances of several lengths may share a batch.
        bytes_per_second: of audio, about, in a file.
    """

    provenance: Mapping[str, Any]
    about: Mapping[str, Any]
    main_column: str
    pads: bool
    bytes_per_second: float

    def __call__(
        self, waveforms: Sequence[np.ndarray], starts: Sequence[float]
    ) -> list[dict[str, np.ndarray]]:
        """Return the columns of waveforms (samples,) at 16 kHz that begin at `starts` seconds."""


def split_rows(durations: np.ndarray, file_seconds: float) -> list[np.ndarray]:
    """Return the rows of each file: neighbours of at most `file_seconds`, at least one.

    Args:
        durations: (utterances,) in seconds.
        file_seconds: audio per file.
    """
    files, first, held = [], 0, 0.0
    for row, seconds in enumerate(durations):
        if row > first and held + seconds > file_seconds:
            files.append(np.arange(first, row))
            first, held = row, 0.0
        held += seconds
    return [*files, np.arange(first, len(durations))]


def extract(
    describer: Describer,
    corpus: datasets.Dataset,
    output: OutputFolder,
    files: Sequence[np.ndarray],
    shard: tuple[int, int] = (0, 1),
    batch_seconds: float = 60.0,
    skipped: SkippedFiles | None = None,
    progress: bool = True,
    num_readers: int = 4,
) -> None:
    """Write the files of one process that are not finished yet.

    Args:
        describer: makes the columns.
        corpus: columns `id`, `audio` (not decoded) and `duration` in seconds.
        output: where `begin` was called.
        files: the rows of each, see `split_rows`.
        shard: number of this process, and how many there are.
        batch_seconds: audio per batch; longer utterances are a batch of their own.
        skipped: is given the files that cannot be read; it decides whether to be strict.
        progress: show a progress bar.
        num_readers: threads that read audio.

    Raises:
        AudioError: a file cannot be used, when strict.
    """
    skipped = SkippedFiles() if skipped is None else skipped
    own = part_of(range(len(files)), *shard)
    left = [number for number in own if not output.is_finished(number)]
    total, done = (sum(len(files[number]) for number in part) for part in (own, set(own) - {*left}))
    if done:
        logger.info("%d of %d files are finished already.", len(own) - len(left), len(own))
    rows: dict[int, dict[str, Any]] = {}
    reasons: dict[str, str] = {}
    with (
        ThreadPoolExecutor(num_readers) as pool,
        tqdm(total=total, initial=done, desc="Extracting", unit="utt", disable=not progress) as bar,
    ):
        for number, found, is_last in _read_ahead(files, left, corpus, pool):
            for row, one in found.items():
                if isinstance(one, SkippedFile):
                    skipped.add(one)
                    reasons[str(corpus[row]["id"])] = one.reason
            waveforms = {row: one for row, one in found.items() if isinstance(one, np.ndarray)}
            bar.update(len(found) - len(waveforms))
            for batch in similar_batches(waveforms, batch_seconds, describer.pads):
                rows |= _describe(describer, corpus, batch)
                bar.update(len(batch))
            if is_last:
                output.write(number, [rows[row] for row in sorted(rows)], reasons)
                rows, reasons = {}, {}


def _describe(
    describer: Describer, corpus: datasets.Dataset, batch: Mapping[int, np.ndarray]
) -> dict[int, dict[str, Any]]:
    """Return the row of the output for every row of the corpus in a batch."""
    cells = {row: corpus[row] for row in batch}
    starts = [float(cells[row]["audio"].get("start") or 0.0) for row in batch]
    columns = describer(list(batch.values()), starts)
    return {
        row: {
            "id": str(cells[row]["id"]),
            "path": str(cells[row]["audio"].get("path") or ""),
            "start": start,
            "duration": float(cells[row]["duration"]),
            **found,
        }
        for row, start, found in zip(batch, starts, columns, strict=True)
    }


def _read_ahead(
    files: Sequence[np.ndarray],
    numbers: Sequence[int],
    corpus: datasets.Dataset,
    pool: ThreadPoolExecutor,
) -> Iterator[tuple[int, dict[int, np.ndarray | SkippedFile], bool]]:
    """Yield (file, waveforms by row, is last of the file), reading the next block meanwhile."""
    pending: deque[tuple[int, dict[int, Future], bool]] = deque()
    durations = np.asarray(corpus["duration"])
    for number in numbers:
        blocks = list(_blocks(files[number], durations))
        for place, block in enumerate(blocks, 1):
            reads = {int(row): pool.submit(read_utterance, corpus[int(row)]) for row in block}
            pending.append((number, reads, place == len(blocks)))
            if len(pending) == 2:
                yield _wait(*pending.popleft())
    while pending:
        yield _wait(*pending.popleft())


def _blocks(rows: np.ndarray, durations: np.ndarray) -> list[np.ndarray]:
    """Split the rows of a file into blocks of similar lengths."""
    rows = rows[np.argsort(durations[rows], kind="stable")]
    block = (np.cumsum(durations[rows]) // BLOCK_SECONDS).astype(np.int64)
    return np.split(rows, np.flatnonzero(np.diff(block)) + 1)


def _wait(
    number: int, reads: dict[int, Future], is_last: bool
) -> tuple[int, dict[int, np.ndarray | SkippedFile], bool]:
    return number, {row: future.result() for row, future in reads.items()}, is_last
