import numpy as np
import pytest

from hf_rspin.data import DurationBatchSampler

DURATIONS = np.random.default_rng(0).uniform(2.5, 17, 500)


def flat(batches):
    return sorted(int(index) for batch in batches for index in batch)


@pytest.mark.parametrize("world_size", [1, 2, 3])
@pytest.mark.parametrize("batch_seconds", [17.0, 40.0, 300.0])
def test_every_utterance_once_within_the_seconds_same_count_every_epoch(world_size, batch_seconds):
    sampler = DurationBatchSampler(DURATIONS, batch_seconds, world_size=world_size)
    for epoch in range(12):
        batches = sampler.batches(epoch)
        assert flat(batches) == list(range(500))
        assert max(DURATIONS[batch].sum() for batch in batches) <= batch_seconds * (1 + 1e-6)
        assert len(batches) == sampler.num_batches == len(sampler) * world_size


def test_batches_are_full_and_of_similar_length():
    sampler = DurationBatchSampler(DURATIONS, 256)
    batches = sampler.batches(3)
    total = DURATIONS.sum()
    assert len(batches) <= 1.1 * total / 256 + 1
    padded = sum(len(batch) * DURATIONS[batch].max() for batch in batches)
    shuffled = np.random.default_rng(0).permutation(500).reshape(-1, 20)
    padded_at_random = sum(20 * DURATIONS[batch].max() for batch in shuffled)
    assert padded / total < 1.3 < padded_at_random / total


def test_ranks_share_what_one_process_would_see_step_by_step():
    ranks = [DurationBatchSampler(DURATIONS, 60, seed=4, rank=r, world_size=2) for r in (0, 1)]
    for rank in ranks:
        rank.set_epoch(2)
    first, second = (list(rank) for rank in ranks)
    assert len(first) == len(second) == len(ranks[0])
    interleaved = [batch for pair in zip(first, second, strict=True) for batch in pair]
    whole = ranks[0].batches(2)
    assert [[index for _, index in batch] for batch in interleaved] == [
        batch.tolist() for batch in whole
    ]
    assert {epoch for batch in interleaved for epoch, _ in batch} == {2}


def test_order_depends_on_seed_and_epoch_alone():
    def order(seed, epoch):
        return [b.tolist() for b in DurationBatchSampler(DURATIONS, 60, seed=seed).batches(epoch)]

    assert order(0, 1) == order(0, 1)
    assert order(0, 1) != order(0, 2)
    assert order(0, 1) != order(1, 1)


def test_unshuffled_batches_are_those_of_every_epoch():
    sampler = DurationBatchSampler(DURATIONS, 60, shuffle=False)
    assert [b.tolist() for b in sampler.batches(0)] == [b.tolist() for b in sampler.batches(5)]


def test_three_utterances_on_two_ranks_give_both_the_same_steps():
    ranks = [DurationBatchSampler([5.0, 5.0, 5.0], 6, rank=r, world_size=2) for r in (0, 1)]
    seen = [[index for batch in rank for _, index in batch] for rank in ranks]
    assert len(seen[0]) == len(seen[1]) == 2
    assert set(seen[0]) | set(seen[1]) == {0, 1, 2}


@pytest.mark.parametrize(
    ("durations", "world_size", "match"),
    [([], 1, "0 utterances"), ([3.0], 2, "2 process"), ([9.0], 1, "longest utterance has 9.00 s")],
)
def test_impossible_batches_are_refused(durations, world_size, match):
    with pytest.raises(ValueError, match=match):
        DurationBatchSampler(durations, 8.0, world_size=world_size)
