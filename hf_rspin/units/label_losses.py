"""How badly a linear readout of an encoder predicts the frame labels of each utterance."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from tqdm.auto import tqdm

from hf_rspin.data.skipped import SkippedFile, SkippedFiles, utterance_name
from hf_rspin.units.extract import read_utterance
from hf_rspin.units.features import LayerFeatures
from hf_rspin.units.frame_labels import FrameLabels
from hf_rspin.units.linear_readout import LinearReadout, fit_readout
from hf_rspin.units.recordings import similar_batches
from hf_rspin.utils import read_json, write_json

logger = logging.getLogger(__name__)

FIT_SECONDS = 3600.0  # of audio that the two readouts are fitted on together
BLOCK_SECONDS, MOST_BLOCKS = 600.0, 50  # of audio between two saves
BATCH_SECONDS, NUM_READERS = 60.0, 4
LEAST_UTTERANCES = 2  # one to fit each readout on

Found = tuple[np.ndarray, np.ndarray]  # features (frames, dim) and labels (frames,)


def label_losses(
    features: LayerFeatures,
    corpus: datasets.Dataset,
    labels: FrameLabels,
    ranks: np.ndarray,
    file: str | Path,
    key: Mapping[str, Any],
    skipped: SkippedFiles,
    progress: bool = True,
) -> dict[str, float | None]:
    """Return the mean cross-entropy per frame of each utterance, in nats, by id.

    No head of the encoder is needed: the readout is a linear layer fitted here, on up to an hour
    of the corpus. The utterances fall into two halves, and each is judged by the readout that was
    fitted on the other: none is predicted well because it was seen. Frames labelled -100 and
    padding do not count; utterances that cannot be read get None.

    `file` keeps what is known so far: a run that was killed fits the readouts again and goes on.

    Args:
        features: of the encoder, on its device.
        corpus: columns `id`, `audio` (not decoded) and `duration` in seconds.
        labels: of every utterance.
        ranks: (utterances,) a random order: halves alternate, the first are fitted on.
        file: JSON, written whole or not at all.
        key: what the losses are made from; a file of another key is not gone on from.
        skipped: is given the files that cannot be used, and decides whether to be strict.
        progress: show a progress bar.

    Raises:
        ValueError: fewer than two utterances can be read.
    """
    ids = [str(name) for name in corpus["id"]]
    losses = _known(file, key)
    missing = [row for row, name in enumerate(ids) if name not in losses]
    if not missing:
        logger.info("The losses of all utterances are in %s.", file)
        return losses
    job = _Job(features, corpus, labels, skipped, progress)
    halves = np.asarray(ranks) % 2
    readouts = job.fit(np.argsort(ranks), halves)
    with tqdm(total=len(ids), initial=len(ids) - len(missing), desc="Losses of the labels",
              unit="utt", disable=not progress) as bar:  # fmt: skip
        for block in job.blocks(missing):
            losses |= {ids[row]: None for row in block}
            for row, (frames, targets) in job.read(block):
                if len(targets):
                    found = readouts[1 - halves[row]].losses(frames, targets)
                    losses[ids[row]] = float(found.mean())
            write_json(file, {"made_from": dict(key), "losses": losses})
            bar.update(len(block))
    return losses


class _Job:
    """What is read of a corpus, one block of utterances after the other."""

    def __init__(
        self,
        features: LayerFeatures,
        corpus: datasets.Dataset,
        labels: FrameLabels,
        skipped: SkippedFiles,
        progress: bool,
    ):
        self.features, self.corpus, self.labels = features, corpus, labels
        self.skipped, self.progress = skipped, progress
        self.seconds = np.asarray(corpus["duration"], dtype=float)

    def fit(self, order: np.ndarray, halves: np.ndarray) -> list[LinearReadout]:
        """Fit one readout on the first utterances of each half."""
        before = np.cumsum(self.seconds[order]) - self.seconds[order]
        sample = order[: max(LEAST_UTTERANCES, int(np.count_nonzero(before < FIT_SECONDS)))]
        found: list[list[Found]] = [[], []]
        with tqdm(total=len(sample), desc="Fitting a readout of the labels", unit="utt",
                  disable=not self.progress) as bar:  # fmt: skip
            for block in self.blocks(sample):
                for row, (frames, targets) in self.read(block):
                    found[halves[row]].append((frames.astype(np.float16), targets))
                bar.update(len(block))
        return [self._fit_half(part) for part in found]

    def _fit_half(self, found: Sequence[Found]) -> LinearReadout:
        if not sum(len(targets) for _, targets in found):
            raise ValueError(
                "loss fits a readout of the frame labels on each half of the utterances, but one "
                "half holds none that can be read; expected more utterances: take --select random."
            )
        frames, targets = (np.concatenate(part) for part in zip(*found, strict=True))
        device = next(self.features.model.parameters()).device
        return fit_readout(frames, targets, self.labels.num_labels, device=device)

    def blocks(self, rows: Sequence[int] | np.ndarray) -> Iterator[list[int]]:
        """Yield rows of similar durations, some minutes of audio at a time."""
        ordered = sorted(map(int, rows), key=lambda row: self.seconds[row])
        size = max(BLOCK_SECONDS, float(self.seconds[ordered].sum()) / MOST_BLOCKS)
        block, total = [], 0.0
        for row in ordered:
            block.append(row)
            total += self.seconds[row]
            if total >= size:
                yield block
                block, total = [], 0.0
        if block:
            yield block

    def read(self, block: Sequence[int]) -> Iterator[tuple[int, Found]]:
        """Yield features and labels of the frames that have a label, by row."""
        with ThreadPoolExecutor(NUM_READERS) as pool:
            read = list(pool.map(read_utterance, (self.corpus[row] for row in block)))
        waveforms = {}
        for row, result in zip(block, read, strict=True):
            if isinstance(result, SkippedFile):
                self.skipped.add(result)
            else:
                waveforms[row] = result
        for batch in similar_batches(waveforms, BATCH_SECONDS, self.features.pads):
            encoded = self.features.batch(list(batch.values()))
            for row, frames in zip(batch, encoded, strict=True):
                if (found := self._labelled(row, frames)) is not None:
                    yield row, found

    def _labelled(self, row: int, frames: np.ndarray) -> Found | None:
        cells = self.corpus[row]
        targets = self.labels[str(cells["id"])]
        if abs(len(targets) - len(frames)) > 1:  # resamplers may differ by one frame
            name = utterance_name(cells["audio"], cells["id"])
            reason = (
                f"{name} has {len(frames)} frames but {len(targets)} labels: make the "
                "pseudo-labels again from this audio."
            )
            self.skipped.add(SkippedFile(name, reason))
            return None
        length = min(len(targets), len(frames))
        counts = targets[:length] >= 0
        return frames[:length][counts], targets[:length][counts]


def _known(file: str | Path, key: Mapping[str, Any]) -> dict[str, float | None]:
    content = read_json(file)
    if content is None or content.get("made_from") != dict(key):
        return {}
    losses = content.get("losses")
    return losses if isinstance(losses, dict) else {}
