"""Shards of a labelling: of neighbours and similar lengths, joined in order, damage named."""

import json

import numpy as np
import pytest

from hf_rspin.units.shards import ShardError, Shards

SECONDS = np.random.default_rng(0).integers(1, 20, 300) / 2.0  # exact in floating point
IDS = [f"u{row}" for row in range(300)]
UNITS = [np.random.default_rng(row).integers(0, 90, int(50 * SECONDS[row])) for row in range(300)]


def written(folder, block_seconds, skipped=()):
    shards = Shards(folder, {"kind": "test"}, IDS, SECONDS, 60.0, block_seconds)
    for number, rows in enumerate(shards.rows):
        # as batches come: in no order of the corpus, without what could not be read
        shards.write(number, {int(r): UNITS[r] for r in rows[::-1] if r not in skipped})
    return shards


def joined(shards):
    lengths = shards.lengths()
    starts = np.cumsum(np.maximum(lengths, 0)) - np.maximum(lengths, 0)
    values = np.full(int(np.maximum(lengths, 0).sum()), -1, np.int16)
    shards.fill(values, starts, 90)
    return lengths, values


@pytest.mark.parametrize("block_seconds", [61.0, 240.0, 1e9])
def test_whatever_the_blocks_the_same_is_joined(tmp_path, block_seconds):
    lengths, values = joined(written(tmp_path / "p", block_seconds, skipped=(7, 150)))
    assert np.flatnonzero(lengths < 0).tolist() == [7, 150]
    kept = [units for row, units in enumerate(UNITS) if row not in (7, 150)]
    np.testing.assert_array_equal(values, np.concatenate(kept))


def test_shards_are_of_neighbours_and_of_similar_lengths(tmp_path):
    shards = Shards(tmp_path / "p", {}, IDS, SECONDS, 60.0, 300.0)
    assert sorted(np.concatenate(shards.rows).tolist()) == list(range(300))
    ends = np.cumsum(SECONDS)
    reached = 0.0  # second of the corpus up to which the file has been written
    for rows in shards.rows:
        assert SECONDS[rows].sum() < 60 + SECONDS.max()
        first = ends[rows].min() - SECONDS[rows[ends[rows].argmin()]]
        assert first >= reached - 300 - 60 - SECONDS.max()  # never far back
        reached = max(reached, ends[rows].max())
    spread = np.mean([np.ptp(SECONDS[rows]) for rows in shards.rows])
    assert spread < 0.5 * np.ptp(SECONDS)


def test_what_was_begun_of_a_small_corpus_goes_on(tmp_path):
    Shards(tmp_path / "p", {"kind": "test"}, IDS, SECONDS, 60.0)
    plan = json.loads((tmp_path / "p" / "plan.json").read_text())
    assert plan.keys() == {"provenance", "corpus", "shard_seconds", "format"}
    Shards(tmp_path / "p", {"kind": "test"}, IDS, SECONDS, 60.0).write(0, {})
    other = Shards(tmp_path / "p", {"kind": "test"}, IDS, SECONDS, 60.0, 240.0)  # other shards
    assert other.num_done == 0


@pytest.mark.parametrize("highest,dtype", [(2**15 - 1, np.int16), (2**15, np.int32)])
def test_parts_take_two_bytes_a_frame_where_units_fit(tmp_path, highest, dtype):
    shards = Shards(tmp_path / "p", {}, ["a"], np.array([1.0]), 60.0)
    shards.write(0, {0: np.array([0, highest])})
    with np.load(shards.path(0)) as content:
        assert content["values"].dtype == dtype and content["values"].tolist() == [0, highest]


def damage(path):
    path.write_bytes(path.read_bytes()[:-30])


@pytest.mark.parametrize(
    "spoil,message",
    [
        (lambda shards: damage(shards.path(1)), "shard_00001.npz is damaged .*: remove it"),
        (lambda shards: shards.write(1, {0: UNITS[0], **{int(r): UNITS[r] for r in
         shards.rows[2]}}), "shard_00001.npz holds utterances of another part: remove it"),
        (lambda shards: shards.write(1, {int(r): UNITS[r] + 90 for r in shards.rows[1]}),
         "shard_00001.npz holds a unit outside of 0 to 89"),
    ],
)  # fmt: skip
def test_parts_that_cannot_be_joined_are_named(tmp_path, spoil, message):
    shards = written(tmp_path / "p", 240.0)
    spoil(shards)
    with pytest.raises(ShardError, match=message):
        joined(shards)
