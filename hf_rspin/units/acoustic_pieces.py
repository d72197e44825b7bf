"""Acoustic pieces: byte pairs of discrete units, one label per frame [R-Spin 2.5, A.7]."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from hf_rspin.units.bpe import SEPARATOR, learn_merges
from hf_rspin.units.bpe_encoding import build_table, encode_symbols, label_frames, merge_runs
from hf_rspin.utils import write_text

logger = logging.getLogger(__name__)

IGNORED_LABEL = -100  # the index that torch's cross-entropy leaves out
MAX_UNIT = 2**24
MAX_PIECE = 2**20  # units in one piece: hours without a repeated unit
FILE_NAME = "acoustic_pieces.json"


class AcousticPieces:
    """Byte-pair encoding of run-merged unit sequences [R-Spin 2.5, A.7; Ren et al., 2022].

    1. Equal consecutive units of an utterance become one token; run lengths are kept.
    2. Training merges the most frequent pair of neighbouring tokens until there are `vocab_size`
       pieces; the units that occur count. Never across utterances; overlapping pairs ("a a a")
       count from the left without overlap; equal counts go to the smaller left piece, then to
       the smaller right piece (units in ascending order, then merges in order of birth).
    3. Encoding applies the merges in training order, and repeats each piece over its frames.
    4. Labels are the pieces that occur in the encoded training corpus, numbered densely in
       order of birth.

    Other utterances may need a piece that step 4 dropped: it is taken apart, merge by merge, until
    its parts have labels. Frames whose unit never occurred in training, or only inside larger
    pieces, have no class to predict: their label is -100, which the losses ignore.

    Args:
        units: (base units,) the unit ids of the training corpus, ascending.
        merges: (merges, 2) piece ids; piece `len(units) + m` joins the two pieces of row m.
        used: (labels,) ascending ids of the pieces in use; label i stands for piece `used[i]`.
        provenance: what made the units that the pieces were learned on; plain JSON values.
    """

    def __init__(
        self,
        units: np.ndarray,
        merges: np.ndarray,
        used: np.ndarray,
        provenance: Mapping[str, Any] | None = None,
    ) -> None:
        self.provenance = dict(provenance or {})
        self.units = np.asarray(units, np.int64)
        self.merges = np.asarray(merges, np.int32).reshape(-1, 2)
        self.used = np.asarray(used, np.int64)
        self._check()
        self._piece_of_unit = np.full(self.units[-1] + 2, -1, np.int32)  # last entry: unknown
        self._piece_of_unit[self.units] = np.arange(len(self.units))
        self._labels = np.full(self.vocab_size, IGNORED_LABEL, np.int64)
        self._labels[self.used] = np.arange(len(self.used))
        self._sizes = self._piece_sizes()
        self._table = build_table(self.merges, len(self.units))
        self._has_warned = False

    @property
    def vocab_size(self) -> int:
        """Number of pieces learned, the base units included."""
        return len(self.units) + len(self.merges)

    @property
    def num_labels(self) -> int:
        """Number of pieces in use: outputs of the auxiliary head."""
        return len(self.used)

    @classmethod
    def train(
        cls,
        unit_sequences: Iterable[Sequence[int] | np.ndarray],
        vocab_size: int,
        progress: bool = True,
        min_count: int = 2,
    ) -> AcousticPieces:
        """Learn `vocab_size` pieces, fewer when no pair is left that occurs `min_count` times.

        Args:
            unit_sequences: one sequence of unit ids (frames,) per utterance; read once.
            vocab_size: pieces to learn; the units that occur count.
            progress: show progress bars.
            min_count: rarer pairs are not merged.

        Raises:
            ValueError: no frames, ids that are not integers from 0, or `vocab_size` too small.
        """
        symbols = _read_corpus(unit_sequences, progress)  # (tokens,)
        units, symbols = _number_densely(symbols)
        num_merges = vocab_size - len(units)
        if num_merges < 0:
            raise ValueError(
                f"vocab_size={vocab_size} is smaller than the {len(units)} distinct units of the "
                f"corpus, which count as pieces: ask for at least {len(units)}."
            )
        with tqdm(total=num_merges, desc="Learning pieces", disable=not progress) as bar:
            merges = learn_merges(symbols, len(units), num_merges, min_count, bar.update)
        if len(merges) < num_merges:
            logger.warning(
                "Learned %d of the %d pieces asked for: no pair occurs %d times any more. Use more "
                "data or a smaller vocab_size.", len(units) + len(merges), vocab_size, min_count,
            )  # fmt: skip
        # The merges were applied in place: what is left in `symbols` is the encoded corpus.
        counts = np.bincount(symbols[symbols >= 0], minlength=len(units) + len(merges))
        return cls(units, merges, np.flatnonzero(counts))

    def encode(self, units: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return the labels (frames,), int64, of one utterance's units (frames,).

        Labels are 0..num_labels-1, or -100 where the training corpus gives none (see the class).

        Raises:
            ValueError: `units` is not one-dimensional, or not integers from 0.
        """
        values, lengths = merge_runs(_as_units(units))
        symbols = self._piece_of_unit[np.minimum(values, len(self._piece_of_unit) - 1)]
        encode_symbols(symbols, len(self.units), self.merges, *self._table)
        labels = label_frames(symbols, lengths, self.merges, self._sizes, self._labels, len(units))
        if not self._has_warned and (labels == IGNORED_LABEL).any():
            self._has_warned = True
            logger.warning(
                "Some frames hold units that have no label of their own in the training corpus; "
                "they are labelled %d and ignored by the losses.", IGNORED_LABEL,
            )  # fmt: skip
        return labels

    def segment(self, units: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the labels and lengths in frames, both (segments,), of units (frames,).

        Repeating each label over its length gives `encode(units)`; unlike the runs of that, the
        same piece twice in a row is two segments here. A unit without a label is a segment -100.
        """
        labels = self.encode(units)  # (frames,)
        lengths = merge_runs(_as_units(units))[1].astype(np.int64)  # (runs,)
        sizes = np.append(self._sizes[self.used], 1)  # runs in a segment of each label; -100: 1
        firsts, run = [], 0
        run_labels = labels[np.cumsum(lengths) - lengths]
        while run < len(lengths):
            firsts.append(run)
            run += int(sizes[max(run_labels[run], -1)])
        if not firsts:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        return run_labels[firsts], np.add.reduceat(lengths, firsts)

    def label_units(self, label: int) -> tuple[int, ...]:
        """Return the units that a label stands for, e.g. (17, 4, 17)."""
        stack, found = [int(self.used[label])], []
        while stack:
            piece = stack.pop()
            if piece < len(self.units):
                found.append(int(self.units[piece]))
            else:
                left, right = self.merges[piece - len(self.units)]
                stack += [int(right), int(left)]
        return tuple(found)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write `acoustic_pieces.json` into `folder`, whole or not at all."""
        content = {
            "format": 1,
            "units": self.units.tolist(),
            "merges": self.merges.tolist(),
            "used": self.used.tolist(),
            "provenance": self.provenance,
        }
        write_text(Path(folder) / FILE_NAME, json.dumps(content, separators=(",", ":")) + "\n")

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> AcousticPieces:
        """Read what `save_pretrained` wrote.

        Raises:
            FileNotFoundError: `folder` holds no acoustic pieces.
            ValueError: the file is damaged or of another format.
        """
        path = Path(folder) / FILE_NAME
        if not path.is_file():
            raise FileNotFoundError(
                f"{path} does not exist; expected a folder written by AcousticPieces."
                "save_pretrained."
            )
        try:
            content = json.loads(path.read_text())
            if content["format"] != 1:
                raise ValueError(f"format {content['format']}, expected 1")
            provenance = content.get("provenance")  # files of the first version have none
            return cls(content["units"], content["merges"], content["used"], provenance)
        except (AttributeError, ValueError, KeyError, TypeError, OverflowError,
                RecursionError) as error:  # fmt: skip
            raise ValueError(
                f"{path} holds no acoustic pieces ({error}); make it again."
            ) from error

    def _piece_sizes(self) -> np.ndarray:
        """Return the number of units in each piece, (pieces,).

        Raises:
            ValueError: merges that double a piece again and again, as no corpus gives them.
        """
        sizes = [1] * len(self.units)
        for left, right in self.merges.tolist():
            sizes.append(sizes[left] + sizes[right])
            if sizes[-1] > MAX_PIECE:
                raise ValueError(
                    f"got a piece of {sizes[-1]} units; expected at most {MAX_PIECE}."
                )
        return np.array(sizes, np.int64)

    def _check(self) -> None:
        births = np.arange(len(self.units), self.vocab_size)[:, None]
        if len(self.units) == 0 or (np.diff(self.units) <= 0).any() or self.units[0] < 0:
            raise ValueError("units must be ascending ids from 0, at least one.")
        if self.units[-1] >= MAX_UNIT:
            raise ValueError(f"got the unit {self.units[-1]}; expected ids below {MAX_UNIT}.")
        if ((self.merges < 0) | (self.merges >= births)).any():
            raise ValueError("a merge must join pieces that exist before it.")
        known = (self.used >= 0) & (self.used < self.vocab_size)
        if (np.diff(self.used) <= 0).any() or not known.all():
            raise ValueError("used must be ascending piece ids.")


def _as_units(units: Sequence[int] | np.ndarray) -> np.ndarray:
    """Check one utterance's units (frames,)."""
    array = np.asarray(units)
    if array.size == 0:
        return np.zeros(0, np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise ValueError(
            f"got units as {array.dtype} of shape {array.shape}; expected integers of shape "
            "(frames,), one sequence per utterance."
        )
    if array.min() < 0 or array.max() >= MAX_UNIT:
        raise ValueError(
            f"Units lie in {array.min()}..{array.max()}; expected 0..{MAX_UNIT - 1}: cut padding "
            "off, and number the units from 0."
        )
    return array


def _read_corpus(unit_sequences: Iterable, progress: bool) -> np.ndarray:
    """Merge runs and join the utterances, a separator after each: (tokens,) int32."""
    parts, separator = [], np.array([SEPARATOR], np.int32)
    for units in tqdm(unit_sequences, desc="Reading units", unit="utt", disable=not progress):
        parts += [merge_runs(_as_units(units))[0], separator]
    symbols = np.concatenate(parts) if parts else separator
    if (symbols == SEPARATOR).all():
        raise ValueError(
            "The corpus holds no frames; expected one sequence of units per utterance."
        )
    return symbols


def _number_densely(symbols: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct units, ascending, and the corpus (tokens,) in terms of their indices."""
    seen = np.zeros(symbols.max() + 2, bool)
    seen[symbols] = True  # SEPARATOR is the last entry
    units = np.flatnonzero(seen[:-1])
    index = np.full(len(seen), SEPARATOR, np.int32)
    index[units] = np.arange(len(units))
    return units, index[symbols]
