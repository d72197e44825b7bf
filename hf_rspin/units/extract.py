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
    skipped = SkippedFiles(strict) if skipped is None else skipped
    ids, durations = [str(name) for name in corpus["id"]], np.asarray(corpus["duration"])
    with (
        _partial_folder(folder) as partial,
        ThreadPoolExecutor(num_readers) as pool,
        tqdm(total=len(ids), desc="Extracting units", unit="utt", disable=not progress) as bar,
    ):
        shards = Shards(partial, extractor.provenance, ids, durations, shard_seconds)
        bar.update(shards.num_done)
        for shard, num_rows, waveforms in _read_ahead(shards, corpus, skipped, pool):
            found = {}
            for batch in similar_batches(waveforms, batch_seconds, extractor.pads):
                units = units_of(extractor, list(batch.values()))
                found.update(zip((ids[row] for row in batch), units, strict=True))
                bar.update(len(batch))
            bar.update(num_rows - len(waveforms))
            shards.write(shard, found)
        labels = _collect(shards, extractor, ids)
        if folder is not None:
            labels.save(folder)
    return labels if folder is None else FrameLabels.load(folder)


@contextlib.contextmanager
def _partial_folder(folder: str | Path | None) -> Iterator[Path]:
    """Give the folder of partial results; it stays when the extraction is interrupted."""
    if folder is None:
        with tempfile.TemporaryDirectory() as temporary:
            yield Path(temporary) / "partial"
        return
    partial = Path(folder).with_name(Path(folder).name + ".partial")
    yield partial
    shutil.rmtree(partial)


def _collect(shards: Shards, extractor: UnitExtractor, ids: list[str]) -> FrameLabels:
    units = shards.read_all()
    if len(units) == 0:
        raise AudioError("No utterance of the corpus could be read; see the warnings above.")
    provenance = {**extractor.provenance, "skipped_utterances": len(ids) - len(units)}
    ordered = ((name, units[name]) for name in ids if name in units)
    return FrameLabels.from_sequences(ordered, extractor.num_units, provenance)


def _read_ahead(
    shards: Shards, corpus: datasets.Dataset, skipped: SkippedFiles, pool: ThreadPoolExecutor
) -> Iterator[tuple[int, int, dict[int, np.ndarray]]]:
    """Yield (shard, rows in it, waveforms by row), reading the next shard meanwhile."""
    pending = []
    for shard, rows in shards.missing():
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
