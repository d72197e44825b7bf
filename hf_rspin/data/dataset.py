"""A corpus and a recipe become two aligned views per utterance, reproducible by (epoch, index)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import datasets
import numpy as np
from torch.utils.data import Dataset

from hf_rspin.audio import (
    FRAME_SHIFT,
    SAMPLING_RATE,
    AudioError,
    audio_name,
    num_frames,
    random_crop,
    read_audio,
)
from hf_rspin.random import example_generator

logger = logging.getLogger(__name__)

CLEAN_VIEW, PERTURBED_VIEW, CROP = 0, 1, 2  # last number of the key of each random generator
SILENCE = 2e-4  # peak to peak: below it even the dither of 16-bit silence stays
NAMES_SHOWN = 10

Views = Callable[
    [np.ndarray, np.random.Generator, np.random.Generator], tuple[np.ndarray, np.ndarray]
]


class Labels(Protocol):
    """Frame labels by utterance id, as `hf_rspin.units.FrameLabels`."""

    num_labels: int

    def __contains__(self, key: str) -> bool: ...  # noqa: D105

    def __getitem__(self, key: str) -> np.ndarray: ...  # noqa: D105


@dataclass
class TwoViewExample:
    """Two views (samples,) float32 at 16 kHz of one crop, and its labels (frames,) int64."""

    clean: np.ndarray
    perturbed: np.ndarray
    labels: np.ndarray | None
    voice_changed: bool = True


@dataclass
class SkippedExample:
    """A file that could not be used, and why."""

    name: str
    reason: str


class TwoViewDataset(Dataset):
    """Crops of a corpus as two views, indexed by `(epoch, index)`.

    What is drawn depends on (seed, epoch, index, view) alone. Crops start on a multiple of 320
    samples and both views share them, so that frame labels stay aligned.

    Args:
        corpus: columns `id`, `audio` (undecoded) and `duration` in seconds, see `load_corpus`.
        views: `views(waveform, clean_generator, perturbed_generator) -> (clean, perturbed)`.
        frame_labels: labels by utterance id; None trains without an auxiliary loss.
        seed: seed of crops and views.
        min_seconds: shorter utterances are left out (the paper: 2.5).
        max_seconds: longer utterances are cropped at random (the paper: 17).
        strict: raise on a bad file instead of skipping it.

    Raises:
        AudioError: a bad file, from `dataset[epoch, index]`, and from a batch when `strict`.
    """

    def __init__(
        self,
        corpus: datasets.Dataset,
        views: Views,
        frame_labels: Labels | None = None,
        seed: int = 0,
        min_seconds: float = 2.5,
        max_seconds: float = 17.0,
        strict: bool = False,
    ):
        self.views, self.frame_labels, self.seed = views, frame_labels, seed
        self.min_seconds, self.max_seconds, self.strict = min_seconds, max_seconds, strict
        lengths = np.asarray(corpus["duration"], dtype=np.float64)
        kept = np.flatnonzero(lengths >= min_seconds)
        self.num_too_short = len(lengths) - len(kept)
        self._warn_short(corpus, np.flatnonzero(lengths < min_seconds))
        self.corpus = corpus.select_columns(["id", "audio"]).select(kept)
        self.full_durations = lengths[kept]
        self.durations = np.minimum(self.full_durations, max_seconds)

    def __len__(self) -> int:
        """Return the number of utterances."""
        return len(self.durations)

    def __getitem__(self, key: tuple[int, int]) -> TwoViewExample:
        """Return the views of utterance `index` in `epoch`."""
        epoch, index = key
        row = self.corpus[int(index)]
        waveform = self._read(row, self.full_durations[index])
        labels = self._labels(row, num_frames(len(waveform)))
        generator = example_generator(self.seed, epoch, index, CROP)
        limit = round(self.max_seconds * SAMPLING_RATE)
        start, stop = random_crop(len(waveform), limit, generator)
        crop = waveform[start:stop]
        if labels is not None:
            first = start // FRAME_SHIFT
            labels = labels[first : first + num_frames(len(crop))]
        clean, perturbed = self.views(
            crop,
            example_generator(self.seed, epoch, index, CLEAN_VIEW),
            example_generator(self.seed, epoch, index, PERTURBED_VIEW),
        )
        return TwoViewExample(clean, perturbed, labels)

    def __getitems__(
        self, keys: Sequence[tuple[int, int]]
    ) -> list[TwoViewExample | SkippedExample]:
        """Return a batch in which every bad file is a `SkippedExample`.

        When nothing usable is left, the utterance nearest in length stands in, so that every rank
        of a distributed run has something to compute.
        """
        items = [self._try(key) for key in keys]
        if not any(isinstance(item, TwoViewExample) for item in items):
            items += self._substitute(*keys[0])
        return items

    def _try(self, key: tuple[int, int]) -> TwoViewExample | SkippedExample:
        if self.strict:
            return self[key]
        try:
            return self[key]
        except AudioError as error:
            name = audio_name(self.corpus[int(key[1])]["audio"])
            return SkippedExample(name, str(error))

    def _substitute(self, epoch: int, index: int) -> list[TwoViewExample | SkippedExample]:
        shorter_first = np.argsort(
            np.abs(self.durations - self.durations[index])
            + (self.durations > self.durations[index]) * 1e3,
            kind="stable",
        )
        tried: list[TwoViewExample | SkippedExample] = []
        for other in shorter_first[:NAMES_SHOWN]:
            tried.append(self._try((epoch, int(other))))
            if isinstance(tried[-1], TwoViewExample):
                return tried
        raise AudioError(
            f"{len(tried)} utterances in a row could not be used, the last: {tried[-1].reason} "
            "Check the audio folder."
        )

    def _read(self, row: dict, seconds: float) -> np.ndarray:
        waveform = read_audio(row["audio"])
        name = audio_name(row["audio"])
        if num_frames(len(waveform)) < 1 or len(waveform) < seconds * SAMPLING_RATE / 2:
            raise AudioError(
                f"{name} decodes to {len(waveform) / SAMPLING_RATE:.3f} s but {seconds:.3f} s were "
                "announced: the file is damaged; replace or remove it."
            )
        if np.ptp(waveform) < SILENCE:
            raise AudioError(f"{name} is silent; remove it or record it again.")
        return waveform

    def _labels(self, row: dict, frames: int) -> np.ndarray | None:
        if self.frame_labels is None:
            return None
        labels = np.asarray(self.frame_labels[row["id"]], dtype=np.int64)
        if abs(len(labels) - frames) > 1:  # resamplers may differ by one frame
            raise AudioError(
                f"{audio_name(row['audio'])} has {frames} frames but {len(labels)} labels: make "
                "the pseudo-labels again from this audio."
            )
        return labels[:frames]

    def _warn_short(self, corpus: datasets.Dataset, short: np.ndarray) -> None:
        if len(short) == 0:
            return
        names = [audio_name(cell) for cell in corpus.select(short[:NAMES_SHOWN])["audio"]]
        more = f" and {len(short) - len(names)} more" if len(short) > len(names) else ""
        logger.warning(
            "%d of %d utterances are shorter than %g s and left out: %s%s",
            len(short), len(corpus), self.min_seconds, ", ".join(names), more,
        )
