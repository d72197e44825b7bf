"""Frame labels of a corpus: one row of integers per utterance, found by its id."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from hf_rspin.utils import check_space
from hf_rspin.whole_folders import repair_folder, whole_folder

_BLOCK = 10_000_000  # frames read at a time where all are
_VALUES, _OFFSETS, _IDS, _INFO = "labels.npy", "offsets.npy", "ids.json", "frame_labels.json"


class FrameLabels(Mapping[str, np.ndarray]):
    """Labels (frames,) at 50 Hz by utterance id; units and pseudo-labels alike.

    All utterances share one array of the smallest integer type that fits, memory-mapped when it
    comes from disk: 960 hours take 340 MB with units and 680 MB with acoustic pieces, and the
    workers of a data loader share them.

    Args:
        ids: utterance ids, unique.
        values: (total frames,) labels of all utterances, one after the other.
        offsets: (utterances + 1,) where each utterance starts, and the end.
        num_labels: labels are 0..num_labels-1, or -100 for frames that losses ignore.
        provenance: how the labels were made; plain JSON values.

    Raises:
        ValueError: an id comes twice, the arrays do not fit, or a label is out of range.
    """

    def __init__(
        self,
        ids: list[str],
        values: np.ndarray,
        offsets: np.ndarray,
        num_labels: int,
        provenance: Mapping[str, Any] | None = None,
    ) -> None:
        self.ids, self.values, self.offsets = ids, values, offsets
        self.num_labels, self.provenance = num_labels, dict(provenance or {})
        self._folder: Path | None = None  # where the labels were loaded from
        self._rows = {name: row for row, name in enumerate(ids)}
        if len(self._rows) != len(ids):
            twice = next(name for row, name in enumerate(ids) if self._rows[name] != row)
            raise ValueError(f"The utterance id {twice!r} comes twice; ids must be unique.")
        if len(offsets) != len(ids) + 1 or offsets[0] != 0 or offsets[-1] != len(values):
            raise ValueError(
                f"{len(ids)} ids, {len(offsets)} offsets ending at {offsets[-1]} and "
                f"{len(values)} labels do not fit together; make the labels again."
            )

    @classmethod
    def from_sequences(
        cls,
        sequences: Mapping[str, np.ndarray] | Iterable[tuple[str, np.ndarray]],
        num_labels: int,
        provenance: Mapping[str, Any] | None = None,
    ) -> FrameLabels:
        """Collect labels (frames,) by id, given as a mapping or as pairs; pairs are read once.

        Raises:
            ValueError: an id comes twice, or a label is neither in 0..num_labels-1 nor -100.
        """
        pairs = sequences.items() if isinstance(sequences, Mapping) else sequences
        dtype = _smallest_dtype(num_labels)
        ids, parts = [], [np.zeros(0, dtype)]
        for name, labels in pairs:
            ids.append(str(name))
            parts.append(_checked(name, np.asarray(labels), num_labels).astype(dtype))
        offsets = np.cumsum([len(part) for part in parts], dtype=np.int64)
        return cls(ids, np.concatenate(parts), offsets, num_labels, provenance)

    def __getitem__(self, name: str) -> np.ndarray:
        """Return the labels (frames,) int64 of one utterance; KeyError says what is known."""
        row = self._row(name)
        return self.values[self.offsets[row] : self.offsets[row + 1]].astype(np.int64)

    def _row(self, name: str) -> int:
        if name not in self._rows:
            known = f"for example {self.ids[0]!r}" if self.ids else "none"
            raise KeyError(
                f"no frame labels for the utterance {name!r}; labels exist for {len(self)} "
                f"utterances, {known}: make them from this corpus, with the same ids."
            )
        return self._rows[name]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the utterance ids."""
        return iter(self.ids)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def num_frames(self) -> int:
        """Number of frames of all utterances together."""
        return len(self.values)

    def length(self, name: str) -> int:
        """Return the number of labels of one utterance, without reading them; or KeyError."""
        row = self._row(name)
        return int(self.offsets[row + 1] - self.offsets[row])

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield the labels of all utterances one after the other, a part (frames,) at a time."""
        for first in range(0, len(self.values), _BLOCK):
            yield np.asarray(self.values[first : first + _BLOCK])

    def counts(self) -> np.ndarray:
        """Return how many frames carry each label, (num_labels,)."""
        found = np.zeros(self.num_labels, np.int64)
        for block in self.blocks():
            found += np.bincount(block[block >= 0], minlength=self.num_labels)
        return found

    def fingerprint(self) -> str:
        """Return 16 hexadecimal digits that tell these labels from others; ids do not count."""
        digest = hashlib.sha256()
        for block in self.blocks():
            digest.update(np.ascontiguousarray(block).data)
        digest.update(np.ascontiguousarray(self.offsets).data)
        return digest.hexdigest()[:16]

    def map(
        self,
        function: Callable[[np.ndarray], np.ndarray],
        num_labels: int,
        provenance: Mapping[str, Any] | None = None,
    ) -> FrameLabels:
        """Apply `function` to the labels of each utterance: `units.map(pieces.encode, ...)`."""
        pairs = ((name, function(labels)) for name, labels in self.items())
        history = {**(provenance or {}), "made_from": self.provenance}
        return FrameLabels.from_sequences(pairs, num_labels, history)

    def map_to(
        self,
        folder: str | Path,
        function: Callable[[np.ndarray], np.ndarray],
        num_labels: int,
        provenance: Mapping[str, Any] | None = None,
    ) -> FrameLabels:
        """Apply `function`, which keeps lengths, and save the result, an utterance in memory."""
        history = {**(provenance or {}), "made_from": self.provenance}
        lengths = np.diff(self.offsets)
        with FrameLabels.being_written(
            folder, self.ids, lengths, num_labels, history
        ) as values:  # fmt: skip
            rows = zip(self.ids, self.offsets, self.offsets[1:], strict=False)
            # a bar for what lasts minutes: 10,000 utterances take seconds
            bar = tqdm(rows, "Encoding labels", len(self.ids), unit="utt", delay=5)
            for name, first, last in bar:
                labels = self.values[first:last].astype(np.int64)
                values[first:last] = _checked(name, function(labels), num_labels)
        return FrameLabels.load(folder)

    @staticmethod
    @contextlib.contextmanager
    def being_written(
        folder: str | Path,
        ids: list[str],
        lengths: np.ndarray,
        num_labels: int,
        provenance: Mapping[str, Any],
    ) -> Iterator[np.ndarray]:
        """Give the labels (total frames,) as an array on the disk, to be filled inside.

        The folder appears at the end, whole or not at all.

        Args:
            folder: as of `save`.
            ids: utterance ids.
            lengths: (utterances,) in frames.
            num_labels: labels are 0..num_labels-1, or -100.
            provenance: how the labels were made; plain JSON values.

        Raises:
            FileExistsError: `folder` exists and holds something else.
            NoSpaceError: the disk has no room for them.
        """
        offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        dtype, total = _smallest_dtype(num_labels), int(offsets[-1])
        check_space(folder, total * dtype.itemsize)
        with whole_folder(Path(folder), _INFO, "frame labels") as temporary:
            if total:
                values = np.lib.format.open_memmap(temporary / _VALUES, "w+", dtype, (total,))
            else:  # no file can be mapped that holds nothing
                values = np.zeros(0, dtype)
                np.save(temporary / _VALUES, values)
            yield values
            if isinstance(values, np.memmap):
                values.flush()
            _write_index(temporary, ids, offsets, num_labels, provenance)

    def save(self, folder: str | Path) -> None:
        """Write the labels as `folder`, whole or not at all; replaces labels that are there.

        Raises:
            FileExistsError: `folder` exists and holds something else.
        """
        with whole_folder(Path(folder), _INFO, "frame labels") as temporary:
            self._write(temporary)

    @classmethod
    def load(cls, folder: str | Path) -> FrameLabels:
        """Open labels written by `save`; the labels stay on disk until they are asked for.

        Raises:
            FileNotFoundError: `folder` holds no frame labels.
            ValueError: files are damaged, or of different sets of labels.
        """
        folder = Path(folder)
        if not folder.exists():
            repair_folder(folder)
        if not (folder / _INFO).is_file():
            raise FileNotFoundError(
                f"{folder} holds no {_INFO}; expected a folder written by FrameLabels.save."
            )
        try:
            info = json.loads((folder / _INFO).read_text())
            ids = json.loads((folder / _IDS).read_text())
            values = np.load(folder / _VALUES, mmap_mode="r" if info["num_frames"] else None)
            offsets = np.load(folder / _OFFSETS)
            labels = cls(ids, values, offsets, info["num_labels"], info["provenance"])
        except (ValueError, OSError, EOFError, KeyError, TypeError) as error:
            raise ValueError(
                f"the frame labels in {folder} are damaged ({error!r}): make them again."
            ) from error
        labels._folder = folder.resolve()
        return labels

    def __reduce__(self) -> tuple:
        """Pickle labels on disk by their folder: workers open it rather than copy the labels."""
        if self._folder is not None:
            return FrameLabels.load, (self._folder,)
        arguments = (self.ids, self.values, self.offsets, self.num_labels, self.provenance)
        return FrameLabels, arguments

    def _write(self, folder: Path) -> None:
        np.save(folder / _VALUES, self.values)
        _write_index(folder, self.ids, self.offsets, self.num_labels, self.provenance)


def _write_index(
    folder: Path,
    ids: list[str],
    offsets: np.ndarray,
    num_labels: int,
    provenance: Mapping[str, Any],
) -> None:
    np.save(folder / _OFFSETS, offsets)
    (folder / _IDS).write_text(json.dumps(ids))
    info = {
        "num_labels": num_labels,
        "num_utterances": len(ids),
        "num_frames": int(offsets[-1]),
        "provenance": dict(provenance),
    }
    (folder / _INFO).write_text(json.dumps(info, indent=2) + "\n")


def _smallest_dtype(num_labels: int) -> np.dtype:
    return np.dtype(np.int16 if num_labels <= np.iinfo(np.int16).max + 1 else np.int32)


def _checked(name: str, labels: np.ndarray, num_labels: int) -> np.ndarray:
    """Check one utterance's labels (frames,)."""
    if labels.ndim != 1 or (labels.size > 0 and labels.dtype.kind not in "iu"):
        raise ValueError(
            f"got the labels of {name!r} as {labels.dtype} of shape {labels.shape}; expected "
            "integers of shape (frames,)."
        )
    wrong = labels[((labels < 0) & (labels != -100)) | (labels >= num_labels)]
    if len(wrong) > 0:
        raise ValueError(
            f"the labels of {name!r} hold {wrong[0]}; expected 0..{num_labels - 1}, or -100 for "
            "frames to ignore: num_labels and labels must come from the same units."
        )
    return labels
