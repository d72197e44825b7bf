"""How many units a distortion changes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hf_rspin.units import UnitSequence


@dataclass(frozen=True, eq=False)
class UnitChanges:
    """The units that one model makes of a recording and of its distorted view.

    Attributes:
        name: of the model.
        units: what its units are, in a few words.
        original: of the recording.
        distorted: of the view, with as many frames.
        vocab_size: how many different units there could be.
    """

    name: str
    units: str
    original: UnitSequence
    distorted: UnitSequence
    vocab_size: int

    def __post_init__(self) -> None:
        frames = len(self.original.frame_ids), len(self.distorted.frame_ids)
        if frames[0] != frames[1]:
            raise ValueError(f"got {frames[0]} and {frames[1]} frames; expected equally many.")

    @cached_property
    def changed(self) -> np.ndarray:
        """Whether the unit of each frame is another one, (frames,) bool."""
        return self.original.frame_ids != self.distorted.frame_ids

    @property
    def num_frames(self) -> int:
        """Frames of 20 ms."""
        return len(self.changed)

    @property
    def num_changed(self) -> int:
        """Frames whose unit is another one."""
        return int(self.changed.sum())

    @property
    def share(self) -> float:
        """Share of the frames whose unit is another one, 0 to 1; 0 where there are no frames."""
        return self.num_changed / max(self.num_frames, 1)

    def segments_changed(self, sequence: UnitSequence) -> np.ndarray:
        """Return whether most frames of each segment changed, (segments,) bool.

        Args:
            sequence: `original` or `distorted`.
        """
        lengths = np.round((sequence.ends - sequence.starts) / 0.02).astype(int)
        firsts = np.append(0, np.cumsum(lengths))[:-1]
        if len(firsts) == 0:
            return np.zeros(0, bool)
        return 2 * np.add.reduceat(self.changed.astype(int), firsts) >= lengths
