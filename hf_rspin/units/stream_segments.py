"""Units that come a few at a time become segments as soon as nothing later can change them."""

from __future__ import annotations

import numpy as np

from hf_rspin.units.acoustic_pieces import AcousticPieces
from hf_rspin.units.bpe_encoding import merge_runs
from hf_rspin.units.unit_sequence import UnitSequence


class SegmentStream:
    """Gives the segments of `UnitSequence.from_frames` bit by bit.

    A run of equal units ends where another unit comes. Pieces are decided by merges over the whole
    sequence; but between two units that no merge ever joins, nothing that comes later has an
    influence on what was before: up to the last such place the pieces are final.

    Args:
        pieces: None for runs of units.
    """

    def __init__(self, pieces: AcousticPieces | None = None) -> None:
        self.pieces = pieces
        self._joined = np.zeros(0, np.int64) if pieces is None else joined_pairs(pieces)
        self._open = np.zeros(0, np.int64)  # units of the frames that are in no segment yet
        self._frames = 0  # before these

    def push(self, units: np.ndarray, last: bool = False) -> UnitSequence:
        """Take the units (frames,) that follow, and return the segments that are final.

        Args:
            units: integers from 0.
            last: nothing follows: all segments are final.
        """
        self._open = np.concatenate([self._open, units])
        stop = len(self._open) if last else self._last_safe()
        found = UnitSequence.from_frames(self._open[:stop], self.pieces, self._frames)
        self._open = self._open[stop:]
        self._frames += stop
        return found

    def _last_safe(self) -> int:
        """Return the last frame that begins a run which is never joined to the run before it."""
        values, lengths = merge_runs(self._open)
        pairs = pair_numbers(values[:-1].astype(np.int64), values[1:].astype(np.int64))
        safe = np.flatnonzero(~np.isin(pairs, self._joined))
        return int(lengths[: safe[-1] + 1].sum()) if len(safe) else 0


def joined_pairs(pieces: AcousticPieces) -> np.ndarray:
    """Return the pairs of neighbouring units that some merge joins, as `pair_numbers` (pairs,)."""
    first, last = pieces.units.tolist(), pieces.units.tolist()
    pairs = set()
    for left, right in pieces.merges.tolist():
        pairs.add((last[left], first[right]))
        first.append(first[left])
        last.append(last[right])
    found = np.array(sorted(pairs), np.int64).reshape(-1, 2)
    return pair_numbers(found[:, 0], found[:, 1])


def pair_numbers(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return one number for each pair of units, (pairs,)."""
    return (left << 32) | right
