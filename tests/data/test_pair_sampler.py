import numpy as np
import pytest

from hf_rspin.data import PairBatchSampler, TwoViewDataset, load_corpus
from hf_rspin.data.samplers import drawn_speeds
from hf_rspin.views import LaserViews

SPEEDS = (0.8, 1.0, 1.2)


def draw(epoch, count=300):
    return np.random.default_rng(epoch).choice(SPEEDS, count)


@pytest.fixture
def durations():
    return np.random.default_rng(9).uniform(1.0, 12.0, 300)


def sampler(durations, batch_seconds=60.0, pairs=None, **options):
    return PairBatchSampler(durations, batch_seconds, pairs, draw, min(SPEEDS), **options)


@pytest.mark.parametrize("pairs", [None, 4])
def test_each_epoch_has_every_pair_once_and_as_many_batches(durations, pairs):
    batches = sampler(durations, pairs=pairs)
    for epoch in range(8):
        found = batches.batches(epoch)
        assert len(found) == len(batches)
        assert sorted(np.concatenate(found)) == list(range(300))
        assert pairs is None or max(map(len, found)) <= pairs
        longer = np.maximum(durations, durations / draw(epoch))
        assert max(longer[batch].sum() for batch in found) <= 60.0 * (1 + 1e-6)


def test_both_views_are_of_similar_length_in_a_batch(durations):
    def padding(batches, speeds):
        used = filled = 0.0
        for batch in batches:
            for seconds in (durations[batch], durations[batch] / speeds[batch]):
                used, filled = used + seconds.sum(), filled + seconds.max() * len(batch)
        return 1 - used / filled

    speeds = draw(3)
    ours = padding(sampler(durations).batches(3), speeds)
    at_random = padding(np.array_split(np.random.default_rng(0).permutation(300), 40), speeds)
    assert ours < 0.16 < 0.35 < at_random


def test_one_pair_at_a_time_in_an_order_of_the_epoch(durations):
    batches = sampler(durations, pairs=1)
    assert len(batches) == 300
    first, second = (np.concatenate(batches.batches(epoch)) for epoch in (0, 1))
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, np.concatenate(sampler(durations, pairs=1).batches(0)))
    lengths = durations[first]
    assert abs(np.corrcoef(lengths[1:], lengths[:-1])[0, 1]) < 0.2  # shuffled
    batches.set_epoch(1)
    assert [batch for batch in batches] == [[(1, int(index))] for index in second]


def test_ranks_share_the_pairs(durations):
    ranks = [sampler(durations, rank=rank, world_size=2) for rank in (0, 1)]
    assert len(ranks[0]) == len(ranks[1]) == len(list(ranks[0]))
    seen = [{index for batch in rank for _, index in batch} for rank in ranks]
    assert seen[0].isdisjoint(seen[1]) and len(seen[0] | seen[1]) == 300


def test_an_evaluation_is_the_same_every_time(durations):
    batches = sampler(durations, shuffle=False)
    for first, second in zip(batches.batches(0), batches.batches(5), strict=True):
        np.testing.assert_array_equal(first, second)


def test_a_pair_too_long_for_a_batch_is_refused(durations):
    with pytest.raises(ValueError, match="raise batch_seconds"):
        sampler(durations, batch_seconds=12.5)  # 12 s at a speed of 0.8 are 15
    with pytest.raises(ValueError, match="pairs is 0"):
        sampler(durations, pairs=0)


def test_the_speeds_are_those_that_the_views_draw(write, tmp_path):
    for index in range(5):
        write(f"u{index}.wav", seconds=1.0, seed=index)
    dataset = TwoViewDataset(load_corpus(tmp_path), LaserViews(SPEEDS), seed=4, min_seconds=0.5)
    for epoch in (0, 2):
        speeds = drawn_speeds(dataset, epoch)
        for index, speed in enumerate(speeds):
            assert len(dataset[epoch, index].perturbed) == round(16_000 / speed)
    assert set(drawn_speeds(dataset, 0)) <= set(SPEEDS)
