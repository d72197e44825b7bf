"""So many hours of a corpus: utterances in an order, until the hours are reached."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Selection:
    """What was chosen of a corpus, and from how much.

    Attributes:
        ids: of the utterances, in the order in which they were chosen.
        seconds: of audio that they have together.
        num_candidates: utterances that could have been chosen.
        candidate_seconds: of audio that those have.
        method: random, unit_coverage or loss.
        hours: that were asked for.
        seed: of the run.
    """

    ids: list[str]
    seconds: float
    num_candidates: int
    candidate_seconds: float
    method: str
    hours: float
    seed: int

    def __str__(self) -> str:
        """Return it as logs, cards and provenance say it."""
        hours, all_hours = self.seconds / 3600, self.candidate_seconds / 3600
        return (
            f"{len(self.ids)} of {self.num_candidates} utterances, {hours:.2f} of {all_hours:.2f} "
            f"h ({self.method})"
        )

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "select": self.method,
            "seed": self.seed,
            "hours_asked": self.hours,
            "hours": self.seconds / 3600,
            "utterances": len(self.ids),
            "of_hours": self.candidate_seconds / 3600,
            "of_utterances": self.num_candidates,
            "ids": self.ids,
        }


def check_hours(hours: float, seconds: np.ndarray) -> None:
    """Refuse more hours than there are: what is called ten hours must not be less.

    A total that was rounded up to hundredths, as logs show it, takes everything.

    Args:
        hours: that are asked for.
        seconds: (utterances,) of what can be chosen.

    Raises:
        ValueError: there are fewer.
    """
    there = float(np.sum(seconds)) / 3600
    if hours > math.ceil(100 * there) / 100:
        raise ValueError(
            f"hours is {hours:g}, but the utterances that can be chosen last {there:.2f} h "
            "together; expected at most that: leave --hours out to train on all."
        )


def take_hours(order: Iterable[int], seconds: np.ndarray, hours: float) -> list[int]:
    """Return the first rows of an order whose total is nearest to some hours, at least one.

    More hours give the same rows and some more: it is always a beginning of `order`, which is read
    no further than it has to be.

    Args:
        order: rows, each once.
        seconds: (utterances,) duration of each row.
        hours: that are wanted; the result is off by at most half an utterance.
    """
    taken, total, wanted = [], 0.0, 3600 * hours
    for row in order:
        after = total + float(seconds[row])
        if taken and after - wanted > wanted - total:
            break
        taken.append(int(row))
        total = after
        if total >= wanted:
            break
    return taken


def seeded_ranks(ids: Sequence[str], seed: int) -> np.ndarray:
    """Return the place of each utterance in a random order, (utterances,) int64.

    Of two utterances the same one comes first whatever else the corpus holds: the order is that of
    hashes of seed and id.
    """
    keys = [hashlib.sha256(f"{seed}\t{key}".encode()).digest()[:16] for key in ids]
    ranks = np.empty(len(keys), dtype=np.int64)
    ranks[sorted(range(len(keys)), key=keys.__getitem__)] = np.arange(len(keys))
    return ranks
