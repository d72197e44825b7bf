"""Which part of its corpus a run trains on: options; only the standard library is imported."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hf_rspin.utils import option

RANDOM, UNIT_COVERAGE, LOSS = "random", "unit_coverage", "loss"
METHODS = (RANDOM, UNIT_COVERAGE, LOSS)


@dataclass
class HoursArguments:
    """How much of the corpus to train on."""

    hours: float | None = option(None, "train on so many hours of the corpus; left out: on all")
    select: str = option(
        RANDOM,
        "which hours: random; unit_coverage: most unseen n-grams (1 to 3) of the frame labels per "
        "second; loss: those whose frame labels the start model predicts worst",
    )

    def __post_init__(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            ValueError: no number of hours, or no such selection.
        """
        if self.select not in METHODS:
            raise ValueError(f"select is {self.select!r}; expected one of {', '.join(METHODS)}.")
        if self.hours is None:
            if self.select != RANDOM:
                raise ValueError(
                    f"select is {self.select}, but no hours were given, and all of the corpus "
                    "needs no selection: pass --hours too."
                )
        elif not (math.isfinite(self.hours) and self.hours > 0):
            raise ValueError(
                f"hours is {self.hours:g}; expected more than 0: leave it out to train on all."
            )


@dataclass
class SelectionArguments(HoursArguments):
    """Which part of the corpus to train on."""

    selection_labels: str | None = option(
        None,
        "folder of `hf-rspin labels` for unit_coverage and loss; default: labels that the run "
        "trains on",
    )
    selection_model: str | None = option(
        None, "encoder that loss asks; default: the one that the run starts from", rare=True
    )
    selection_layer: int | None = option(
        None, "hidden state of it that predicts; default: the last", rare=True
    )
    selection_cache: str | None = option(
        None,
        "folder of the losses, for runs that share them; default: the output folder",
        rare=True,
    )
