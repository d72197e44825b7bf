"""Conditions of which some cannot be made: too few speakers for babble, noise without a split."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hf_rspin.evaluation.conditions.base import CLEAN, Distortion
from hf_rspin.evaluation.conditions.graded import SEVERITIES
from hf_rspin.evaluation.conditions.registry import (
    ALIASES,
    SYNTHETIC,
    check_names,
    make_conditions,
)


def make_possible_conditions(
    names: Sequence[str],
    snrs_db: Sequence[float],
    severities: Sequence[int],
    noise: str | None,
    rooms: str | None,
    **more: Any,
) -> tuple[list[Distortion], list[str]]:
    """Return the conditions that can be made, and a sentence for each that cannot.

    Args:
        names: see `make_conditions`, as for the others.
        snrs_db: of conditions with noise.
        severities: 1 to 4.
        noise: folder of recordings, "synthetic" or None.
        rooms: folder of room responses, or None.
        more: the other arguments of `make_conditions`.

    Raises:
        ValueError: a name is unknown, an SNR or a severity is none, a folder does not exist, or
            none of the distortions can be made.
    """
    wanted = list(dict.fromkeys(ALIASES.get(name, name) for name in names))
    check_names(wanted)
    _check(snrs_db, severities, {"noise": noise, "rooms": rooms})
    found: list[Distortion] = []
    reasons: dict[str, ValueError] = {}
    for name in wanted:
        try:
            found += make_conditions(
                [name], snrs_db, severities=severities, noise=noise, rooms=rooms, **more
            )
        except ValueError as error:
            reasons[name] = error
    if reasons and all(condition.name == CLEAN for condition in found):
        raise next(iter(reasons.values()))
    return found, [f"The condition {name} is left out: {why}" for name, why in reasons.items()]


def _check(
    snrs_db: Sequence[float], severities: Sequence[int], folders: dict[str, str | None]
) -> None:
    """Refuse what is wrong whatever the corpus is."""
    if not snrs_db or not all(map(math.isfinite, snrs_db)):
        raise ValueError(f"got --snr {list(snrs_db)}; expected one number of dB or more.")
    if not severities or not set(severities) <= set(SEVERITIES):
        raise ValueError(f"got --severities {list(severities)}; expected some of 1, 2, 3 and 4.")
    for option, folder in folders.items():
        if folder is not None and folder != SYNTHETIC and not Path(folder).exists():
            raise ValueError(f"--{option} {folder} does not exist; expected a folder of audio.")
