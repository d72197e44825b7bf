"""The features of a teacher on disk, beside the audio that they are of: computed once.

Shards are written whole or not at all, so that a run that was killed goes on with the next one.
"""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from tqdm.auto import tqdm

from hf_rspin.audio import (
    FRAME_SHIFT,
    SAMPLING_RATE,
    AudioError,
    num_frames,
    num_samples,
)
from hf_rspin.data.skipped import SkippedFile, SkippedFiles
from hf_rspin.distillation.teachers import Teacher
from hf_rspin.training.provenance import check_provenance, corpus_key
from hf_rspin.units.extract import read_utterance
from hf_rspin.utils import atomic, check_space, write_text

logger = logging.getLogger(__name__)

LARGEST = 65_504.0  # of float16
OPEN_FILES = 256
FRAME_RATE = SAMPLING_RATE // FRAME_SHIFT
DONE = "shard_{:05d}.json"


def cache_teacher(
    folder: str | Path,
    teacher: Teacher,
    layers: Sequence[int],
    corpus: datasets.Dataset,
    min_seconds: float = 1.0,
    shard_seconds: float = 1200.0,
    skipped: SkippedFiles | None = None,
    num_readers: int = 2,
) -> TeacherCache:
    """Compute what is missing of the features of a corpus, and open the cache.

    It takes 2 bytes x layers x dim x 50 per second of speech for features, and 32,000 for audio.

    Args:
        folder: of the cache; made here.
        teacher: see `load_teacher`.
        layers: its hidden states to keep.
        corpus: columns `id`, `audio` (not decoded) and `duration` in seconds.
        min_seconds: shorter utterances are left out.
        shard_seconds: audio between two saves.
        skipped: is given the files that cannot be used, or stops at the first if it is strict.
        num_readers: threads that read audio.

    Raises:
        ValueError: the folder holds features of something else, or the disk has no room for them.
        AudioError: no utterance can be used, or one cannot, when strict.
    """
    folder, skipped = Path(folder), SkippedFiles() if skipped is None else skipped
    made_from = {
        **teacher.provenance, "layers": list(layers), "min_seconds": min_seconds,
        "shard_seconds": shard_seconds, **corpus_key(corpus),
    }  # fmt: skip
    seconds = np.asarray(corpus["duration"], dtype=np.float64)
    kept = np.flatnonzero(seconds >= min_seconds)
    if len(kept) == 0:
        raise AudioError(f"the corpora hold no utterance of {min_seconds:g} s or more.")
    check_provenance(folder, made_from, (DONE.format(0),))
    shard_of = (np.cumsum(seconds[kept]) // shard_seconds).astype(np.int64)
    shards = np.split(kept, np.flatnonzero(np.diff(shard_of)) + 1)
    missing = [i for i in range(len(shards)) if not (folder / DONE.format(i)).is_file()]
    per_second = 2 * (len(layers) * teacher.dim * FRAME_RATE + SAMPLING_RATE)  # bytes
    check_space(folder, sum(seconds[shards[i]].sum() for i in missing) * per_second)
    with (
        ThreadPoolExecutor(num_readers) as pool,
        tqdm(total=len(kept), desc="teacher features", unit="utt") as bar,
    ):
        bar.update(len(kept) - sum(len(shards[i]) for i in missing))
        for shard in missing:
            rows = corpus.select(shards[shard])
            _write_shard(folder, shard, teacher, layers, rows, skipped, pool)
            bar.update(len(shards[shard]))
    for shard in set(range(len(shards))) - set(missing):
        for name, reason in _read_index(folder / DONE.format(shard)).get("skipped", {}).items():
            skipped.add(SkippedFile(name, reason))
    return TeacherCache(folder)


def _write_shard(
    folder: Path,
    shard: int,
    teacher: Teacher,
    layers: Sequence[int],
    rows: datasets.Dataset,
    skipped: SkippedFiles,
    pool: ThreadPoolExecutor,
) -> None:
    names, waveforms, unusable = [], [], {}
    for name, found in zip(rows["id"], pool.map(read_utterance, rows), strict=True):
        if isinstance(found, SkippedFile):
            skipped.add(found)
            unusable[found.name] = found.reason
        else:
            names.append(str(name))
            waveforms.append(found)
    if waveforms and layers:
        features = teacher.features(waveforms, layers)
    else:  # for units alone the cache holds audio
        features = [torch.zeros(num_frames(len(wave)), 0, teacher.dim) for wave in waveforms]
    width = len(layers) * teacher.dim
    flat = torch.cat([one.flatten(1) for one in features]) if features else torch.zeros(0, width)
    stored = flat.clamp(-LARGEST, LARGEST).half().numpy()  # (frames, layers * dim)
    exact = stored.astype(np.float64)
    audio = [np.int16(np.rint(np.clip(wave, -1, 1) * 32767)) for wave in waveforms]
    for kind, values in (
        ("features", stored),
        ("audio", np.concatenate(audio) if audio else np.zeros(0, np.int16)),
        ("moments", np.stack([exact.sum(axis=0), np.square(exact).sum(axis=0)])),
    ):
        with atomic(folder / f"shard_{shard:05d}.{kind}.npy") as place, open(place, "wb") as file:
            np.save(file, values)
    index = {"ids": names, "frames": [len(one) for one in features], "layers": list(layers),
             "dim": teacher.dim, "skipped": unusable}  # fmt: skip
    write_text(folder / DONE.format(shard), json.dumps(index) + "\n")  # last: the shard is whole


def _read_index(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text(encoding="utf-8"))


class TeacherCache:
    """Features and audio of every utterance of a finished cache, read as they are needed.

    Args:
        folder: written by `cache_teacher`.

    Attributes:
        ids: of the utterances.
        frames: (utterances,), how many each has.
        layers: of the teacher.
        dim: of every layer.
        mean, deviation: (layers, 1, dim) float32, over all frames.

    Raises:
        AudioError: the cache holds no utterance.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.ids: list[str] = []
        frames: list[int] = []
        places: list[tuple[int, int, int]] = []  # shard, first frame, first sample
        total, moments = 0, 0.0
        for shard, file in enumerate(sorted(self.folder.glob("shard_*.json"))):
            index = _read_index(file)
            first = np.cumsum([0, *index["frames"]])
            samples = np.cumsum([0, *(num_samples(count) for count in index["frames"])])
            starts = zip(first[:-1].tolist(), samples[:-1].tolist(), strict=True)
            places += [(shard, frame, sample) for frame, sample in starts]
            self.ids += index["ids"]
            frames += index["frames"]
            moments = moments + np.load(self.folder / f"shard_{shard:05d}.moments.npy")
            total += int(first[-1])
        if total == 0:
            raise AudioError(
                f"{self.folder} holds no features: no utterance could be used; see the warnings "
                "for why, and name other recordings."
            )
        self.layers, self.dim = index["layers"], index["dim"]
        self.frames, self._places = np.array(frames), places
        mean = moments[0] / total
        variance = np.maximum(moments[1] / total - mean**2, 0)
        shape = (len(self.layers), 1, self.dim)
        self.mean = torch.from_numpy(mean.reshape(shape).astype(np.float32))
        # a constant dimension has the deviation of its rounding, not of nothing
        deviation = np.maximum(np.sqrt(variance), 1e-5 * np.maximum(1.0, np.abs(mean)))
        self.deviation = torch.from_numpy(deviation.reshape(shape).astype(np.float32))
        self._open = functools.lru_cache(maxsize=OPEN_FILES)(self._open_file)

    def __len__(self) -> int:
        return len(self.ids)

    def features(self, utterance: int, first: int, count: int) -> torch.Tensor:
        """Return `count` frames from `first` on, standardised: (layers, count, dim) float32."""
        shard, start, _ = self._places[utterance]
        rows = self._open(shard, "features")[start + first : start + first + count]
        values = torch.from_numpy(np.asarray(rows, dtype=np.float32))
        values = values.view(count, len(self.layers), self.dim).transpose(0, 1)
        return (values - self.mean) / self.deviation

    def audio(self, utterance: int, first: int, samples: int) -> np.ndarray:
        """Return `samples` (samples,) float32 of the waveform, from frame `first` on."""
        shard, _, start = self._places[utterance]
        start += FRAME_SHIFT * first
        return self._open(shard, "audio")[start : start + samples].astype(np.float32) / 32767

    def fingerprint(self) -> str:
        """Return what tells the features from others: the record of how they were made."""
        return (self.folder / "provenance.json").read_text(encoding="utf-8")

    def _open_file(self, shard: int, kind: str) -> np.ndarray:
        return np.load(self.folder / f"shard_{shard:05d}.{kind}.npy", mmap_mode="r")

    def __getstate__(self) -> dict[str, Any]:
        """Leave open files to the process that opened them."""
        return {name: value for name, value in vars(self).items() if name != "_open"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._open = functools.lru_cache(maxsize=OPEN_FILES)(self._open_file)
