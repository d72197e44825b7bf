"""Units of one utterance without repetitions, and when each of them is spoken."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hf_rspin.audio import FRAME_SHIFT, SAMPLING_RATE
from hf_rspin.units.acoustic_pieces import IGNORED_LABEL, AcousticPieces
from hf_rspin.units.bpe_encoding import merge_runs


@dataclass(frozen=True, eq=False)
class UnitSequence:
    """Units or acoustic pieces of one utterance; see `UnitTokenizer`.

    Frame f stands for the 20 ms from 0.02 f to 0.02 (f + 1) seconds (it starts at sample 320 f at
    16 kHz, and sees 25 ms). The segments tile the time from 0 to 0.02 * frames without gaps: every
    start is the end before it, and (end - start) / 0.02 is the number of frames. The last 5 to 25
    ms of a recording start no frame of their own and belong to no segment.

    Attributes:
        ids: (segments,) int64. Two equal units never follow each other, two equal pieces may
            ("ab ab"). -100 is a unit for which the corpus of the pieces has none.
        starts: (segments,) float64, seconds.
        ends: (segments,) float64, seconds.
        frame_ids: (frames,) int64, the id of every frame: `ids` repeated over their frames.
        units: (frames,) int64, the unit of every frame; equal to `frame_ids` without pieces.
    """

    ids: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    frame_ids: np.ndarray
    units: np.ndarray

    @classmethod
    def from_frames(
        cls, units: np.ndarray, pieces: AcousticPieces | None = None, first_frame: int = 0
    ) -> UnitSequence:
        """Join equal neighbours of `units` (frames,); with `pieces`, join what forms a piece.

        Times begin at the time of `first_frame`.

        Raises:
            ValueError: `units` are not integers from 0, of shape (frames,).
        """
        units = np.asarray(units, np.int64)
        ids, lengths = merge_runs(units) if pieces is None else pieces.segment(units)
        ids = ids.astype(np.int64)
        times = (first_frame + np.append(0, np.cumsum(lengths))) * FRAME_SHIFT / SAMPLING_RATE
        return cls(ids, times[:-1], times[1:], np.repeat(ids, lengths), units)

    def __len__(self) -> int:
        return len(self.ids)

    def text(self, template: str = "{}", separator: str = " ", unknown: str = "<unk>") -> str:
        """Return the segments as text for a language model of units.

        Args:
            template: what an id becomes: "{}" gives "17 4 17", "<{}>" tokens such as "<17>".
            separator: between two of them; "" where the template marks where ids end.
            unknown: stands for -100, see the class.
        """
        words = (unknown if i == IGNORED_LABEL else template.format(i) for i in self.ids.tolist())
        return separator.join(words)
