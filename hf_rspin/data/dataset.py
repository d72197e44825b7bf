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
    AudioError,
    audio_name,
    num_frames,
    random_crop,
    read_audio,
)
from hf_rspin.data.corpus import check_audible
from hf_rspin.data.skipped import SkipLog, SkippedFile, utterance_name
from hf_rspin.seeding import example_generator
from hf_rspin.views import ANALYSIS_RATE, ViewPair

logger = logging.getLogger(__name__)

CLEAN_VIEW, PERTURBED_VIEW, CROP = 0, 1, 2  # last number of the key of each random generator
F0_COLUMNS = ("f0_floor", "f0_ceiling")  # Hz; optional, else estimated from the utterance
HIGHEST_F0 = ANALYSIS_RATE // 4  # Hz
NAMES_SHOWN = 10
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
    raises on a bad file; a whole batch, as a `DataLoader` asks for it, skips it.

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
        skipped: SkipLog | None = None,
    ):
        missing = {"id", "audio", "duration"} - set(corpus.column_names)
        if missing:
            raise ValueError(
                f"The corpus has no column {', '.join(sorted(missing))}; make it with load_corpus."
            )
        self.views, self.frame_labels, self.seed = views, frame_labels, seed
        self.min_seconds, self.max_seconds, self.strict = min_seconds, max_seconds, strict
        self.skipped = SkipLog() if skipped is None else skipped
        seconds = np.asarray(corpus["duration"], dtype=np.float64)
        kept = np.flatnonzero(seconds >= min_seconds)
        self.num_too_short = len(seconds) - len(kept)
        self._warn_short(corpus, np.flatnonzero(seconds < min_seconds))
        columns = ["id", "audio", *(name for name in F0_COLUMNS if name in corpus.column_names)]
        self.corpus = corpus.select_columns(columns).select(kept)
        _check_f0_ranges(self.corpus)
        self.full_durations = seconds[kept]
        self.durations = np.minimum(self.full_durations, max_seconds)

    def __len__(self) -> int:
        """Return the number of utterances."""
        return len(self.durations)

    def __getitem__(self, key: tuple[int, int]) -> TwoViewExample:
        """Return the views of utterance `index` in `epoch`.

        Raises:
            AudioError: the file is damaged, silent, or does not fit its labels.
        """
        return self._example(key, *self._load(int(key[1])))

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
            loaded = self._load(int(key[1]))
        except AudioError as error:
            if self.strict:
                raise
            row = self.corpus[int(key[1])]
            name = _name(row)
            return SkippedFile(name, str(error).replace(audio_name(row["audio"]), name))
        return self._example(key, *loaded)

    def _load(self, index: int) -> tuple[dict, np.ndarray, np.ndarray | None]:
        """Return the row, the whole waveform (samples,) and the whole labels (frames,)."""
        row = self.corpus[index]
        waveform = read_audio(row["audio"])
        name, seconds = _name(row), self.full_durations[index]
        if num_frames(len(waveform)) < 1 or len(waveform) < seconds * SAMPLING_RATE / 2:
            raise AudioError(
                f"{name} decodes to {len(waveform) / SAMPLING_RATE:.3f} s but {seconds:.3f} s were "
                "announced: the file is damaged; replace or remove it."
            )
        check_audible(waveform, name)
        if self.frame_labels is None:
            return row, waveform, None
        labels, frames = self.frame_labels[row["id"]], num_frames(len(waveform))
        if abs(len(labels) - frames) > 1:  # resamplers may differ by one frame
            raise AudioError(
                f"{name} has {frames} frames but {len(labels)} labels: make the pseudo-labels "
                "again from this audio."
            )
        return row, waveform, np.asarray(labels, dtype=np.int64)

    def _example(
        self, key: tuple[int, int], row: dict, waveform: np.ndarray, labels: np.ndarray | None
    ) -> TwoViewExample:
        epoch, index = int(key[0]), int(key[1])
        limit = round(self.max_seconds * SAMPLING_RATE)
        crop_generator = example_generator(self.seed, epoch, index, CROP)
        start, stop = random_crop(len(waveform), limit, crop_generator)
        if labels is not None:
            first = start // FRAME_SHIFT
            labels = labels[first : first + num_frames(stop - start)]
        generators = (
            example_generator(self.seed, epoch, index, CLEAN_VIEW),
            example_generator(self.seed, epoch, index, PERTURBED_VIEW),
        )
        pair = self.views(waveform[start:stop], generators, _f0_range(row), str(row["id"]))
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


def _f0_range(row: dict) -> tuple[float, float] | None:
    """Return the range of the voice in Hz; None where a number is left out."""
    floor, ceiling = (row.get(name) for name in F0_COLUMNS)
    if floor is None or ceiling is None or np.isnan(floor) or np.isnan(ceiling):
        return None
    return float(floor), float(ceiling)


def _check_f0_ranges(corpus: datasets.Dataset) -> None:
    """Refuse ranges now that the views would refuse hours later.

    Raises:
        ValueError: a range is not of numbers, or not one that `estimate_f0` takes.
    """
    if not set(F0_COLUMNS) <= set(corpus.column_names):
        return
    columns = (corpus[name][:] for name in F0_COLUMNS)
    for index, values in enumerate(zip(*columns, strict=True)):
        numbers = all(value is None or isinstance(value, int | float) for value in values)
        known = _f0_range(dict(zip(F0_COLUMNS, values, strict=True))) if numbers else None
        if not numbers or (known and not 0 < known[0] < known[1] <= HIGHEST_F0):
            raise ValueError(
                f"f0_floor and f0_ceiling of {corpus['id'][index]} are {values[0]} and "
                f"{values[1]}; expected Hz, 0 < floor < ceiling <= {HIGHEST_F0}: correct the row, "
                "or leave both empty."
            )
