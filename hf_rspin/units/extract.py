"""Turn a corpus into units: codes of a Spin model, or k-means of frame features."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from tqdm.auto import tqdm
from transformers import PreTrainedModel

from hf_rspin.audio import (
    SAMPLING_RATE,
    AudioError,
    audio_name,
    num_frames,
    num_samples,
    read_audio,
)
from hf_rspin.data.corpus import check_audible
from hf_rspin.data.skipped import SkipLog, SkippedFile, utterance_name
from hf_rspin.units.features import FrameFeatures
from hf_rspin.units.frame_labels import FrameLabels
from hf_rspin.units.kmeans import KMeans
from hf_rspin.units.shards import Shards
from hf_rspin.units.windows import run_in_windows


@dataclass(frozen=True)
class UnitExtractor:
    """Waveforms (batch, samples) at 16 kHz, of equal length -> units (batch, frames).

    Args:
        extract: the function itself.
        num_units: units are 0..num_units-1.
        provenance: what makes the units, JSON values; extraction goes on only where it is equal.
    """

    extract: Callable[[np.ndarray], np.ndarray]
    num_units: int
    provenance: dict[str, Any]


def codebook_units(
    model: PreTrainedModel, normalize: bool = False, bf16: bool = False
) -> UnitExtractor:
    """Units are the codes of a Spin model: argmax of its code logits [R-Spin A.2].

    Recordings above 30 s are encoded in overlapping windows.

    Args:
        model: an `RSpinHubertModel` or `RSpinWavLMModel`, on the device to use.
        normalize: feed waveforms of mean 0 and variance 1 (large models; base models do not).
        bf16: run under bfloat16 autocast.
    """
    model.eval()
    parameter = next(model.parameters())

    @torch.inference_mode()
    def extract(waveforms: np.ndarray) -> np.ndarray:
        values = torch.from_numpy(waveforms).to(parameter.device)  # (batch, samples)
        if normalize:
            values = torch.nn.functional.layer_norm(values, values.shape[-1:], eps=1e-7)
        with torch.autocast(parameter.device.type, torch.bfloat16, enabled=bf16):
            units = run_in_windows(lambda part: model(input_values=part).units, values, axis=1)
        return units.cpu().numpy()

    provenance = {
        "kind": "codebook",
        "model": str(model.config.name_or_path),
        "weights": fingerprint(*(tensor for _, tensor in sorted(model.state_dict().items()))),
        "normalize": normalize,
        "bf16": bf16,
    }
    return UnitExtractor(extract, model.config.codebook_size, provenance)


def kmeans_units(features: FrameFeatures, kmeans: KMeans) -> UnitExtractor:
    """Units are the nearest centres of `features` (waveform -> (frames, dim)).

    Raises:
        ValueError: the k-means has no centres yet.
    """
    if kmeans.centres is None:
        raise ValueError("this k-means has no centres yet; call fit_stream first.")

    def extract(waveforms: np.ndarray) -> np.ndarray:
        return np.stack([kmeans.predict(features(waveform)) for waveform in waveforms])

    centres = fingerprint(torch.from_numpy(kmeans.centres))
    provenance = {"kind": "kmeans", "source": kmeans.source, "centres": centres}
    return UnitExtractor(extract, kmeans.num_clusters, provenance)


def extract_units(
    extractor: UnitExtractor,
    corpus: datasets.Dataset,
    folder: str | Path | None = None,
    batch_seconds: float = 60.0,
    shard_seconds: float = 3600.0,
    strict: bool = False,
    skipped: SkipLog | None = None,
    progress: bool = True,
    num_readers: int = 4,
) -> FrameLabels:
    """Return the units of every utterance, in the order of the corpus.

    Batches hold utterances of the same number of frames, trimmed to the samples that these frames
    see: there is no padding, which GroupNorm would let into the valid frames. After every
    `shard_seconds` of audio the units so far are stored beside `folder` (`<folder>.partial`), and
    a run that was killed goes on from there.

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
    skipped = SkipLog(strict) if skipped is None else skipped
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
            for batch in _batches(waveforms, batch_seconds):
                found.update(_extract_batch(extractor, batch, ids))
                bar.update(len(batch))
            bar.update(num_rows - len(waveforms))
            shards.write(shard, found)
        labels = _collect(shards, extractor, ids)
        if folder is not None:
            labels.save(folder)
    return labels if folder is None else FrameLabels.load(folder)


def fingerprint(*tensors: torch.Tensor) -> str:
    """Return a short hash of the values of some tensors."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


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
    shards: Shards, corpus: datasets.Dataset, skipped: SkipLog, pool: ThreadPoolExecutor
) -> Iterator[tuple[int, int, dict[int, np.ndarray]]]:
    """Yield (shard, rows in it, waveforms by row), reading the next shard meanwhile."""
    pending = []
    for shard, rows in shards.missing():
        reads = {int(row): pool.submit(_read, corpus[int(row)]) for row in rows}
        pending.append((shard, reads))
        if len(pending) == 2:
            yield _wait(*pending.pop(0), skipped)
    if pending:
        yield _wait(*pending.pop(), skipped)


def _wait(
    shard: int, reads: dict[int, Future], skipped: SkipLog
) -> tuple[int, int, dict[int, np.ndarray]]:
    waveforms = {}
    for row, future in reads.items():
        result = future.result()
        if isinstance(result, SkippedFile):
            skipped.add(result)
        else:
            waveforms[row] = result
    return shard, len(reads), waveforms


def _read(row: dict) -> np.ndarray | SkippedFile:
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


def _batches(
    waveforms: dict[int, np.ndarray], batch_seconds: float
) -> Iterator[dict[int, np.ndarray]]:
    """Group waveforms by row into batches of equal length."""
    by_length: dict[int, list[int]] = {}
    for row, waveform in waveforms.items():
        by_length.setdefault(len(waveform), []).append(row)
    for length, rows in by_length.items():
        size = max(1, int(batch_seconds * SAMPLING_RATE // length))
        for start in range(0, len(rows), size):
            yield {row: waveforms[row] for row in rows[start : start + size]}


def _extract_batch(
    extractor: UnitExtractor, batch: dict[int, np.ndarray], ids: list[str]
) -> dict[str, np.ndarray]:
    """Return the units (frames,) by utterance id."""
    waveforms = np.stack(list(batch.values()))  # (batch, samples)
    units = extractor.extract(waveforms)
    expected = (len(batch), num_frames(waveforms.shape[1]))
    if units.shape != expected:
        raise ValueError(
            f"the extractor gave units of shape {units.shape}, expected {expected}: the encoder "
            "must have frames of 400 samples every 320."
        )
    return {ids[row]: units[index] for index, row in enumerate(batch)}
