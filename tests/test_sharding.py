"""Which part of a job a process does: options, and the tasks of a SLURM array."""

import pytest

from hf_rspin.sharding import part_of, shard_of_process


def array(task, count, first, last, step="1"):
    names = ("ID", "COUNT", "MIN", "MAX", "STEP")
    values = map(str, (task, count, first, last, step))
    return {f"SLURM_ARRAY_TASK_{n}": v for n, v in zip(names, values, strict=True)}


@pytest.mark.parametrize(
    "environment,expected",
    [
        ({}, (0, 1)),
        (array(0, 8, 0, 7), (0, 8)),
        (array(8, 8, 1, 8), (7, 8)),
        (array(6, 4, 0, 6, 2), (3, 4)),
        ({"SLURM_ARRAY_TASK_ID": "0"}, (0, 1)),
    ],
)
def test_tasks_are_numbered_from_zero(environment, expected):
    assert shard_of_process(environment=environment) == expected
    assert shard_of_process(1, 3, environment) == (1, 3)  # options win


@pytest.mark.parametrize(
    "options,environment,message",
    [
        ((None, None), array(5, 3, 1, 7), "with gaps"),
        ((2, 2), {}, "number the processes from 0"),
        ((0, None), {}, "expected both"),
        ((None, 4), {}, "expected both"),
        ((-1, 2), {}, "number the processes from 0"),
    ],
)
def test_mistakes(options, environment, message):
    with pytest.raises(ValueError, match=message):
        shard_of_process(*options, environment)


@pytest.mark.parametrize("count", [1, 3, 8])
def test_parts_cover_everything_once(count):
    parts = [part_of(range(7), shard, count) for shard in range(count)]
    assert sorted(sum(parts, [])) == list(range(7))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
