"""Probes of one evaluation: each once, those of one name equal but for their seeds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from hf_rspin.evaluation.probes import Probe


def without_seed(settings: Any) -> Any:
    """Return settings of a probe (JSON values) without its seed, wherever it stands."""
    if not isinstance(settings, dict):
        return settings
    return {name: without_seed(value) for name, value in settings.items() if name != "seed"}


def check_seeds_alone(probes: Sequence[Probe]) -> None:
    """Refuse probes of one name that differ in more than the seed: tables average over seeds.

    Raises:
        ValueError: see above.
    """
    found: dict[str, Any] = {}
    for probe in probes:
        settings = without_seed(json.loads(json.dumps(probe.settings())))
        if found.setdefault(probe.name, settings) != settings:
            raise ValueError(
                f"got probes {probe.name!r} of different settings, {found[probe.name]} and "
                f"{settings}; expected one that may come with several seeds: measure the other in "
                "another folder."
            )
