"""Which part of a job this process does: two options, or the task of a SLURM array."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TypeVar

One = TypeVar("One")


def shard_of_process(
    shard: int | None = None,
    num_shards: int | None = None,
    environment: Mapping[str, str] | None = None,
) -> tuple[int, int]:
    """Return the number of this process, from 0, and how many there are.

    Args:
        shard: from 0; None for the place of SLURM_ARRAY_TASK_ID in its array, else 0.
        num_shards: None for SLURM_ARRAY_TASK_COUNT, else 1.
        environment: instead of `os.environ`.

    Raises:
        ValueError: there is no such shard, one of the two options was given alone, or the array's
            numbers have gaps (`--array=1,5,7`).

    Example:
        >>> shard_of_process(0, 2)
        (0, 2)
    """
    environment = os.environ if environment is None else environment
    if shard is None and num_shards is None:
        shard, num_shards = _of_array(environment)
    elif shard is None or num_shards is None:
        if (shard, num_shards) != (None, 1):
            raise ValueError(
                f"got shard {shard} of num_shards {num_shards}; expected both, such as --shard 0 "
                "--num_shards 4, or neither."
            )
        shard = 0
    if not 0 <= shard < num_shards:
        raise ValueError(
            f"got shard {shard} of {num_shards}; expected 0 to {num_shards - 1}: number the "
            "processes from 0."
        )
    return shard, num_shards


def part_of(items: Sequence[One], shard: int, num_shards: int) -> list[One]:
    """Return every `num_shards`-th item from `shard` on: parts of equal length, give or take one.

    Example:
        >>> part_of("abcde", 1, 2)
        ['b', 'd']
    """
    return list(items[shard::num_shards])


def _of_array(environment: Mapping[str, str]) -> tuple[int, int]:
    task = environment.get("SLURM_ARRAY_TASK_ID")
    if not task:
        return 0, 1
    names = ("COUNT", "MIN", "MAX", "STEP")
    defaults = {"COUNT": "1", "MIN": "0", "MAX": task, "STEP": "1"}
    count, first, last, step = (
        int(environment.get(f"SLURM_ARRAY_TASK_{name}") or defaults[name]) for name in names
    )
    numbers = range(first, last + 1, max(step, 1))
    if len(numbers) != count or int(task) not in numbers:
        raise ValueError(
            f"got task {task} of a SLURM array of {count} tasks from {first} to {last}, with gaps; "
            "expected numbers without gaps, such as --array=0-7: or pass --shard and --num_shards."
        )
    return numbers.index(int(task)), count
