"""Which pairs of encoder and condition one process measures, and how both are called."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hf_rspin.evaluation.conditions import Distortion


def label(condition: Distortion) -> str:
    """Return the name of a condition with its SNR: "gaussian at 0 dB"."""
    return condition.name + ("" if condition.snr_db is None else f" at {condition.snr_db:g} dB")


def shard_of(
    names: Sequence[str], conditions: Sequence[Distortion], shard: int, num_shards: int
) -> dict[str, list[str]]:
    """Return the conditions (see `label`) per encoder that one of several processes measures.

    Pairs of encoder and condition are divided in their order, so that few processes share an
    encoder: each that does trains its probes again.

    Raises:
        ValueError: there is no such shard.
    """
    if not 0 <= shard < num_shards:
        raise ValueError(
            f"got shard {shard} of {num_shards}; expected 0 to {num_shards - 1}: number the "
            "processes from 0."
        )
    pairs = [(name, label(condition)) for name in names for condition in conditions]
    first, last = (k * len(pairs) // num_shards for k in (shard, shard + 1))
    found: dict[str, list[str]] = {}
    for name, condition in pairs[first:last]:
        found.setdefault(name, []).append(condition)
    return found


def short_names(paths: Sequence[str]) -> list[str]:
    """Name encoders after their folders, with as many parent folders as tell them apart.

    "runs/a/model" and "runs/b/model" become "a-model" and "b-model".

    Raises:
        ValueError: the same path comes twice.
    """
    parts = [[part for part in Path(path).parts if part not in ("/", "..")] for path in paths]
    for depth in range(1, 1 + max(map(len, parts), default=1)):
        names = ["-".join(part[-depth:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    raise ValueError(f"{list(paths)} holds the same encoder twice; name each once.")
