"""A corpus and a recipe become two aligned views per utterance, reproducible by (epoch, index)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import datasets
import numpy as np
from torch.utils.data import Dataset

from hf_rspin.audio import (
    FRAME_SHIFT,
    SAMPLING_RATE,
    SILENCE,
    AudioError,
    audio_length,
    audio_name,
    check_audible,
    num_frames,
    random_crop,
    read_audio,
)
from hf_rspin.data.f0_ranges import F0_COLUMNS, check_f0_ranges, f0_range
from hf_rspin.data.skipped import SkippedFile, SkippedFiles, utterance_name
from hf_rspin.seeding import example_generator
from hf_rspin.views import ViewPair

logger = logging.getLogger(__name__)

CLEAN_VIEW, PERTURBED_VIEW, CROP = 0, 1, 2  # last number of the key of each random generator
NAMES_SHOWN = 10
LONGER = 1.02  # times the announced duration: what rounded headers and resamplers may add
SUBSTITUTES = 20  # utterances tried in place of a batch without a single usable one


class Views(Protocol):
    """A recipe of `hf_rspin.views`: a waveform (samples,) and two generators give a pair."""

    def __call__(
        self,
        waveform: np.ndarray,
        generators: tuple[np.random.Generator, np.random.Generator],
        f0_range: tuple[float, float] | None = None,
        utterance: str | None = None,
    ) -> ViewPair:
        """Make the pair; `f0_range` in Hz is estimated where None, `utterance` is the id."""


class Labels(Protocol):
    """Frame labels (frames,) by utterance id, as `hf_rspin.units.FrameLabels`."""

    num_labels: int

    def __contains__(self, key: str) -> bool: ...

    def __getitem__(self, key: str) -> np.ndarray: ...


def num_labels_of(labels: Labels, key: str) -> int:
    """Return the number of labels of an utterance, without reading them where `labels` can tell."""
    length = getattr(labels, "length", None)
    return len(labels[key]) if length is None else length(key)


@dataclass
class TwoViewExample:
    """Two views (samples,) float32 at 16 kHz of one crop, and its labels (frames,) int64."""

    clean: np.ndarray
    perturbed: np.ndarray
    labels: np.ndarray | None = None
    voice_skipped: bool = False


class TwoViewDataset(Dataset):
    """Crops of a corpus as two views, indexed by `(epoch, index)`.

    What is drawn depends on (seed, epoch, index, view) alone. Crops start on a multiple of 320
    samples and both views share them, so that frame labels stay aligned. `dataset[epoch, index]`
    raises on a bad file; a whole batch, as a `DataLoader` asks for it, skips it. Of files longer
    than a crop only the crop is decoded, where their format allows it.

    Args:
        corpus: columns `id`, `audio` (undecoded) and `duration` in seconds, see `load_corpus`;
            `f0_floor` and `f0_ceiling` in Hz where the range of a voice is known.
        views: a recipe, such as `RSpinViews`.
        frame_labels: labels by utterance id; None trains without an auxiliary loss.
        seed: seed of crops and views.
        min_seconds: shorter utterances are left out (the paper: 2.5).
        max_seconds: longer utterances are cropped at random (the paper: 17).
        strict: raise on a bad file in a batch too.
        skipped: files left out so far, as `load_corpus` noted them; the trainer counts them, and
            the utterances that are too short.

    Raises:
        ValueError: a column is missing, or a range of a voice is not one.
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
        skipped: SkippedFiles | None = None,
    ):
        missing = {"id", "audio", "duration"} - set(corpus.column_names)
        if missing:
            raise ValueError(
                f"The corpus has no column {', '.join(sorted(missing))}; make it with load_corpus."
            )
        self.views, self.frame_labels, self.seed = views, frame_labels, seed
        self.min_seconds, self.max_seconds, self.strict = min_seconds, max_seconds, strict
        self.skipped = SkippedFiles() if skipped is None else skipped
        seconds = np.asarray(corpus["duration"], dtype=np.float64)
        kept = np.flatnonzero(seconds >= min_seconds)
        self.num_too_short = len(seconds) - len(kept)
        self._warn_short(corpus, np.flatnonzero(seconds < min_seconds))
        columns = ["id", "audio", *(name for name in F0_COLUMNS if name in corpus.column_names)]
        self.corpus = corpus.select_columns(columns).select(kept)
        check_f0_ranges(self.corpus)
        self.full_durations = seconds[kept]
        self.durations = np.minimum(self.full_durations, max_seconds)

    def __len__(self) -> int:
        return len(self.durations)

    def __getitem__(self, key: tuple[int, int]) -> TwoViewExample:
        """Return the views of utterance `index` in `epoch`.

        Raises:
            AudioError: the file is damaged, silent, or does not fit its labels.
        """
        return self._example(key, *self._load(key))

    def __getitems__(self, keys: Sequence[tuple[int, int]]) -> list[TwoViewExample | SkippedFile]:
        """Return a batch in which every bad file is a `SkippedFile`.

        When nothing usable is left, the utterance nearest in length stands in, so that every rank
        of a distributed run has something to compute.
        """
        items = [self._try(key) for key in keys]
        if all(isinstance(item, SkippedFile) for item in items):
            items += self._substitute(*keys[0])
        return items

    def _try(self, key: tuple[int, int]) -> TwoViewExample | SkippedFile:
        try:
            loaded = self._load(key)
        except AudioError as error:
            if self.strict:
                raise
            row = self.corpus[int(key[1])]
            name, start = _name(row), row["audio"].get("start")
            place = name if start is None else f"{name} at {start:.1f} s"  # of a part
            return SkippedFile(name, str(error).replace(audio_name(row["audio"]), place))
        return self._example(key, *loaded)

    def _load(self, key: tuple[int, int]) -> tuple[dict, np.ndarray, np.ndarray | None]:
        """Return the row, the crop (samples,) and its labels (frames,)."""
        index = int(key[1])
        row = self.corpus[index]
        length, start, waveform = self._read_crop(row, key) or self._crop_of_whole(row, key)
        if self.frame_labels is None:
            return row, waveform, None
        labels, frames = self.frame_labels[row["id"]], num_frames(length)
        if abs(len(labels) - frames) > 1:  # resamplers may differ by one frame
            raise AudioError(
                f"{_name(row)} has {frames} frames but {len(labels)} labels: make the "
                "pseudo-labels again from this audio."
            )
        first = start // FRAME_SHIFT
        labels = labels[first : first + num_frames(len(waveform))]
        return row, waveform, np.asarray(labels, dtype=np.int64)

    def _read_crop(self, row: dict, key: tuple[int, int]) -> tuple[int, int, np.ndarray] | None:
        """Seek to the crop; return the samples of the whole, the start and the crop (samples,).

        None where the whole must be read: it is no longer than a crop, cannot be sought in, ends
        before its header says so, or the crop is silent, which the whole need not be.
        """
        if self.full_durations[int(key[1])] <= self.max_seconds:
            return None
        length, seekable = audio_length(row["audio"])
        if not seekable:
            return None
        self._check_length(row, length, int(key[1]))
        start, stop = self._draw_crop(length, key)
        waveform = read_audio(row["audio"], start=start, stop=stop)
        if len(waveform) < stop - start or np.ptp(waveform) < SILENCE:
            return None
        return length, start, waveform

    def _crop_of_whole(self, row: dict, key: tuple[int, int]) -> tuple[int, int, np.ndarray]:
        whole = read_audio(row["audio"])
        self._check_length(row, len(whole), int(key[1]))
        check_audible(whole, _name(row))
        start, stop = self._draw_crop(len(whole), key)
        return len(whole), start, whole[start:stop]

    def _draw_crop(self, length: int, key: tuple[int, int]) -> tuple[int, int]:
        epoch, index = int(key[0]), int(key[1])
        if length <= self.max_seconds * SAMPLING_RATE:
            return 0, length
        limit = round(self.max_seconds * SAMPLING_RATE)
        return random_crop(length, limit, example_generator(self.seed, epoch, index, CROP))

    def _check_length(self, row: dict, length: int, index: int) -> None:
        """Refuse audio of another length than the corpus says: labels and batches rest on it.

        Raises:
            AudioError: see above.
        """
        seconds, announced = length / SAMPLING_RATE, float(self.full_durations[index])
        longer = min(seconds, self.max_seconds) > announced * LONGER + 0.5
        if num_frames(length) < 1 or seconds < announced / 2 or longer:
            raise AudioError(
                f"{_name(row)} decodes to {seconds:.3f} s but {announced:.3f} s were announced: "
                "the file is damaged or was changed; replace or remove it, or load the corpus anew."
            )

    def _example(
        self, key: tuple[int, int], row: dict, waveform: np.ndarray, labels: np.ndarray | None
    ) -> TwoViewExample:
        epoch, index = int(key[0]), int(key[1])
        generators = (
            example_generator(self.seed, epoch, index, CLEAN_VIEW),
            example_generator(self.seed, epoch, index, PERTURBED_VIEW),
        )
        pair = self.views(waveform, generators, f0_range(row), str(row["id"]))
        return TwoViewExample(pair.clean, pair.perturbed, labels, pair.voice_skipped)

    def _substitute(self, epoch: int, index: int) -> list[TwoViewExample | SkippedFile]:
        difference = self.durations - self.durations[index]
        # Never longer while a shorter one is left: a batch must not outgrow its seconds.
        nearest = np.argsort(np.where(difference > 0, 1e6 + difference, -difference), kind="stable")
        tried: list[TwoViewExample | SkippedFile] = []
        for other in nearest[:SUBSTITUTES]:
            item = self._try((epoch, int(other)))
            tried.append(item)
            if not isinstance(item, SkippedFile):
                return tried
        raise AudioError(
            f"{len(tried)} utterances in a row could not be used, the last one because: "
            f"{tried[-1].reason} Check the audio folder (is it still mounted?)."
        )

    def _warn_short(self, corpus: datasets.Dataset, short: np.ndarray) -> None:
        if len(short) == 0:
            return
        # Only the rows that are shown are read: `audio` may hold the bytes of every file.
        rows = corpus.select_columns(["id", "audio"])
        names = [_name(row) for row in rows.select(short[:NAMES_SHOWN])]
        reason = f"is shorter than {self.min_seconds:g} s."
        ids = [str(key) for key in corpus.select_columns("id").select(short)["id"]]
        for name in names + ids[len(names) :]:
            self.skipped.note(SkippedFile(name, f"{name} {reason}"))
        more = f" and {len(short) - len(names)} more" if len(short) > len(names) else ""
        listed = ", ".join(names) + more
        count, limit = f"{len(short)} of {len(corpus)}", f"{self.min_seconds:g} s"
        logger.warning("%s utterances are shorter than %s and left out: %s", count, limit, listed)


def _name(row: dict) -> str:
    return utterance_name(row["audio"], row["id"])
