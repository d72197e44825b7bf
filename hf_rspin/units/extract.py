"""Turn a corpus into units, one batch of similar lengths after the other."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import datasets
import numpy as np
from tqdm.auto import tqdm

from hf_rspin.audio import (
    AudioError,
    audio_name,
    check_audible,
    num_frames,
    num_samples,
    read_audio,
)
from hf_rspin.data.skipped import SkippedFile, SkippedFiles, utterance_name
from hf_rspin.units.extractors import UnitExtractor
from hf_rspin.units.frame_labels import FrameLabels
from hf_rspin.units.recordings import similar_batches
from hf_rspin.units.shards import Shards


def extract_units(
    extractor: UnitExtractor,
    corpus: datasets.Dataset,
    folder: str | Path | None = None,
    batch_seconds: float = 60.0,
    shard_seconds: float = 3600.0,
    strict: bool = False,
    skipped: SkippedFiles | None = None,
    progress: bool = True,
    num_readers: int = 4,
) -> FrameLabels:
    """Return the units of every utterance, in the order of the corpus.

    Utterances are trimmed to the samples that whole frames see. Batches hold similar lengths where
    padding changes no frame (see `recordings`), else equal ones. After every `shard_seconds` of
    audio the units so far are stored beside `folder` (`<folder>.partial`), and a run that was
    killed goes on from there.

    Args:
        extractor: from `codebook_units` or `kmeans_units`.
        corpus: columns `id`, `audio` (not decoded) and `duration` in seconds.
        folder: where to save the units; None keeps them in memory.
        batch_seconds: audio per batch; longer utterances are a batch of their own.
        shard_seconds: audio between two saves, and twice as much is in memory.
        strict: stop at the first file that is damaged, silent or shorter than one frame; without,
            they are left out with one warning each.
        skipped: is given these files, for a summary; it then decides whether to be strict.
        progress: show a progress bar.
        num_readers: threads that read audio.

    Raises:
        AudioError: a file cannot be used, when strict; or none can.
        ValueError: the extractor's frames are not 20 ms apart.
    """
    with _partial_folder(folder) as partial:
        shards = extract_part(
            extractor, corpus, partial, batch_seconds, shard_seconds,
            skipped=SkippedFiles(strict) if skipped is None else skipped,
            progress=progress, num_readers=num_readers,
        )  # fmt: skip
        target = folder if folder is not None else partial.with_name("units")
        labels = join_parts(shards, extractor, corpus, target)
        if folder is None:  # what the labels lie in goes away
            values = np.array(labels.values)
            labels = FrameLabels(
                labels.ids, values, labels.offsets, labels.num_labels, labels.provenance
            )
    return labels


def extract_part(
    extractor: UnitExtractor,
    corpus: datasets.Dataset,
    partial: str | Path,
    batch_seconds: float = 60.0,
    shard_seconds: float = 3600.0,
    part: int = 0,
    num_parts: int = 1,
    skipped: SkippedFiles | None = None,
    progress: bool = True,
    num_readers: int = 4,
) -> Shards:
    """Store the units of the shards that one of several processes does; return all shards.

    Every process is given the same corpus and extractor. `join_parts` makes labels of the shards
    when none is missing.

    Args:
        extractor: from `codebook_units` or `kmeans_units`.
        corpus: as of `extract_units`.
        partial: folder of the shards, which the processes share.
        batch_seconds: audio per batch.
        shard_seconds: audio of a shard.
        part: number of this process, from 0.
        num_parts: how many processes there are.
        skipped: is given the files that cannot be used.
        progress: show a progress bar.
        num_readers: threads that read audio.

    Raises:
        AudioError: a file cannot be used, when `skipped` is strict.
        ValueError: the extractor's frames are not 20 ms apart, or an id comes twice.
    """
    skipped = SkippedFiles() if skipped is None else skipped
    ids, durations = [str(name) for name in corpus["id"]], np.asarray(corpus["duration"])
    shards = Shards(Path(partial), extractor.provenance, ids, durations, shard_seconds)
    todo = list(shards.missing(part, num_parts))
    mine = sum(len(rows) for rows in shards.rows[part::num_parts])
    waiting = sum(len(rows) for _, rows in todo)
    with (
        ThreadPoolExecutor(num_readers) as pool,
        tqdm(total=mine, initial=mine - waiting, desc="Extracting units", unit="utt",
             disable=not progress) as bar,
    ):  # fmt: skip
        for shard, num_rows, waveforms in _read_ahead(todo, corpus, skipped, pool):
            found = {}
            for batch in similar_batches(waveforms, batch_seconds, extractor.pads):
                units = units_of(extractor, list(batch.values()))
                found.update(zip(batch, units, strict=True))
                bar.update(len(batch))
            bar.update(num_rows - len(waveforms))
            shards.write(shard, found)
    return shards


def join_parts(
    shards: Shards, extractor: UnitExtractor, corpus: datasets.Dataset, folder: str | Path
) -> FrameLabels:
    """Save the units of all shards as one set of labels, in the order of the corpus.

    One shard is in memory at a time, and the file is written a block of the corpus after the other
    (see `Shards`). The labels appear at the end, and the shards stay: killed, it is done again.

    Raises:
        AudioError: no utterance could be used.
        ValueError: a shard is missing or damaged, or holds what the extractor or corpus has not.
    """
    missing = sum(1 for _ in shards.missing())
    if missing:
        raise ValueError(f"{missing} of {len(shards.rows)} parts in {shards.folder} are missing.")
    lengths = shards.lengths()
    rows = np.flatnonzero(lengths >= 0)
    if len(rows) == 0:
        raise AudioError("No utterance of the corpus could be read; see the warnings above.")
    kept = corpus if len(rows) == len(corpus) else corpus.select(rows)
    ids = [str(name) for name in kept["id"]]
    starts = np.cumsum(np.maximum(lengths, 0)) - np.maximum(lengths, 0)
    provenance = {**extractor.provenance, "skipped_utterances": len(lengths) - len(rows)}
    with FrameLabels.being_written(
        folder, ids, lengths[rows], extractor.num_units, provenance
    ) as values:  # fmt: skip
        shards.fill(values, starts, extractor.num_units)
    return FrameLabels.load(folder)


@contextlib.contextmanager
def _partial_folder(folder: str | Path | None) -> Iterator[Path]:
    """Give the folder of partial results; it stays when the extraction is interrupted."""
    if folder is None:
        with tempfile.TemporaryDirectory() as temporary:
            yield Path(temporary) / "partial"
        return
    partial = partial_folder(folder)
    yield partial
    shutil.rmtree(partial)


def partial_folder(folder: str | Path) -> Path:
    """Return where the partial results of a folder of units lie."""
    return Path(folder).with_name(Path(folder).name + ".partial")


def _read_ahead(
    todo: list[tuple[int, np.ndarray]],
    corpus: datasets.Dataset,
    skipped: SkippedFiles,
    pool: ThreadPoolExecutor,
) -> Iterator[tuple[int, int, dict[int, np.ndarray]]]:
    """Yield (shard, rows in it, waveforms by row), reading the next shard meanwhile."""
    pending = []
    for shard, rows in todo:
        reads = {int(row): pool.submit(read_utterance, corpus[int(row)]) for row in rows}
        pending.append((shard, reads))
        if len(pending) == 2:
            yield _wait(*pending.pop(0), skipped)
    if pending:
        yield _wait(*pending.pop(), skipped)


def _wait(
    shard: int, reads: dict[int, Future], skipped: SkippedFiles
) -> tuple[int, int, dict[int, np.ndarray]]:
    waveforms = {}
    for row, future in reads.items():
        result = future.result()
        if isinstance(result, SkippedFile):
            skipped.add(result)
        else:
            waveforms[row] = result
    return shard, len(reads), waveforms


def read_utterance(row: dict) -> np.ndarray | SkippedFile:
    """Read one utterance (samples,), trimmed to whole frames, or say why it cannot be used."""
    name = utterance_name(row["audio"], row["id"])
    try:
        waveform = read_audio(row["audio"])
        check_audible(waveform, name)
    except AudioError as error:
        return SkippedFile(name, str(error).replace(audio_name(row["audio"]), name))
    frames = num_frames(len(waveform))
    if frames == 0:
        return SkippedFile(name, f"{name} is shorter than one frame (25 ms); remove it.")
    return waveform[: num_samples(frames)]


def units_of(extractor: UnitExtractor, waveforms: list[np.ndarray]) -> list[np.ndarray]:
    """Return the units (frames,) of waveforms (samples,) of whole frames, of a `similar_batches`.

    Raises:
        ValueError: the extractor's frames are not 20 ms apart.
    """
    expected = [(num_frames(len(waveform)),) for waveform in waveforms]
    if min(expected) == (0,):  # equal lengths: whole frames of zero are empty
        return [np.zeros(0, np.int64) for _ in waveforms]
    units = list(extractor.extract(waveforms if extractor.pads else np.stack(waveforms)))
    if [one.shape for one in units] != expected:
        raise ValueError(
            f"the extractor gave units of shape {units[0].shape}, expected {expected[0]}: the "
            "encoder must have frames of 400 samples every 320."
        )
    return units
