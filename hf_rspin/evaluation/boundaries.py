"""When phones and units begin, in seconds: one definition for probes and for frame labels."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from hf_rspin.audio import FRAME_SHIFT, FRAME_WINDOW, SAMPLING_RATE
from hf_rspin.data.phone_times import SILENCE, known_phone, parse_alignment


def phone_starts(alignment: str) -> list[float]:
    """Return the starts after the beginning, each once, in seconds; what has no length has none.

    Silence beside what the aligner did not know (spn, <unk>) is one silence.
    """
    segments = [part for part in parse_alignment(alignment, math.inf) if part.end > part.start]
    labels = [None, *(known_phone(part.phone) for part in segments)]
    return [
        part.start
        for part, label, before in zip(segments, labels[1:], labels, strict=False)
        if part.start > 0 and not label == before == SILENCE
    ]


def boundary_times(boundaries: Sequence[int] | np.ndarray, factor: int) -> np.ndarray:
    """Return when the frames of these numbers begin to be nearer than those before, in seconds.

    Args:
        boundaries: frames of the encoder.
        factor: how many frames of 20 ms one is; it stands for the middle one, see `labels_at`.
    """
    middle = np.asarray(boundaries) * factor + factor // 2 - factor / 2  # frames of 20 ms
    return (middle * FRAME_SHIFT + FRAME_WINDOW / 2) / SAMPLING_RATE
