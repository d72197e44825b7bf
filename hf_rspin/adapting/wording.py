"""What a report says of the speech that was measured on: how it is called, and how much it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hf_rspin.adapting.words import duration

LEAST_PARTS, LEAST_SECONDS = 10, 60.0  # of held-out speech that figures need
SHARED = (
    "The held-out speech is of recordings that are also trained on, so the figures say nothing of "
    "other speakers or rooms; of five recordings or more of like length, some are held out whole."
)
MADE_UP = "These figures are of made-up noise; --noise FOLDER measures in yours."


@dataclass(frozen=True)
class Wording:
    """How a report speaks of the speech.

    Attributes:
        clean: what speech without distortion is called.
        part: what is counted, in the plural.
        remarks: sentences that the figures must be read with.
    """

    clean: str = "clean speech"
    part: str = "utterances"
    remarks: tuple[str, ...] = ()


CORPUS = Wording()


def own_recordings(is_shared: bool, is_made_up: bool) -> Wording:
    """Return the wording for a user's recordings, which are noisy themselves.

    Args:
        is_shared: recordings are both trained on and held out.
        is_made_up: the user gave no noise.
    """
    remarks = (SHARED,) * is_shared + (MADE_UP,) * is_made_up
    return Wording("your recordings as they are", "parts", remarks)


def measured_on(seconds: Sequence[float], part: str = "utterances") -> str:
    """Say what was measured on, and first where that is too little.

    Args:
        seconds: of each part.
        part: what is counted.

    Example:
        >>> measured_on([2.5, 3.0, 2.5, 3.0], "parts")
        'Too little to tell: measured on 4 parts, 11 s of held-out speech.'
    """
    total = sum(seconds)
    amount = f"easured on {len(seconds)} {part}, {duration(total)} of held-out speech."
    few = len(seconds) < LEAST_PARTS or total < LEAST_SECONDS
    return f"Too little to tell: m{amount}" if few else f"M{amount}"
