"""Parts of a corpus: hours, random orders, and the cover of unit n-grams by brute force."""

import itertools

import numpy as np
import pytest

from hf_rspin.data.selection.budget import check_hours, seeded_ranks, take_hours
from hf_rspin.data.selection.coverage import coverage_order, ngram_sets

HOUR = 3600


def all_ngrams(labels, orders=(1, 2, 3)):
    """Return the n-grams of labels, found one by one; none reaches over a negative label."""
    units = [unit for unit, _ in itertools.groupby(labels.tolist())]
    found = {tuple(units[i : i + n]) for n in orders for i in range(len(units) - n + 1)}
    return {ngram for ngram in found if min(ngram) >= 0}


def plain_greedy(ngrams, seconds, ranks):
    """Compute everything anew for every utterance: slow, and plainly right."""
    left, seen, order = {row for row, own in enumerate(ngrams) if own}, set(), []
    while left:
        if not set().union(*(ngrams[row] for row in left)) - seen:
            seen = set()  # a new round
        best = min(left, key=lambda row: (-len(ngrams[row] - seen) / seconds[row], ranks[row]))
        order.append(best)
        seen |= ngrams[best]
        left.remove(best)
    return order + sorted((r for r, own in enumerate(ngrams) if not own), key=lambda r: ranks[r])


def draw(seed):
    """Draw a small corpus in which ties, rounds, ignored frames and empty utterances are common."""
    rng = np.random.default_rng(seed)
    count, units = rng.integers(1, 16), rng.integers(1, 6)
    labels = [rng.integers(-1, units, rng.integers(0, 25)) for _ in range(count)]
    return labels, rng.choice([0.5, 1.0, 1.5, 2.0], count), rng.permutation(count)


@pytest.mark.parametrize("block", range(4))
def test_lazy_greedy_is_plain_greedy(block):
    rounds = 0
    for seed in range(50 * block, 50 * block + 50):
        labels, seconds, ranks = draw(seed)
        ngrams = [all_ngrams(one) for one in labels]
        expected = plain_greedy(ngrams, seconds, ranks)
        assert list(coverage_order(ngram_sets(labels), seconds, ranks)) == expected
        rounds += sum(map(len, ngrams)) > len(set().union(*ngrams))
    assert rounds > 10  # corpora in which something comes twice


def test_ngrams_are_those_of_runs():
    sets = ngram_sets([np.array([5, 5, 7, 7, 5]), np.array([], dtype=int), np.array([7, -100, 7])])
    # 5, 7, 5 7, 7 5, 5 7 5; nothing; 7
    assert [len(sets[row]) for row in range(3)] == [5, 0, 1] and sets.count == 5
    assert sets[2][0] in sets[0]
    for seed in range(30):
        labels, *_ = draw(seed)
        sets, expected = ngram_sets(labels), [all_ngrams(one) for one in labels]
        assert [len(sets[row]) for row in range(len(labels))] == list(map(len, expected))
        assert sets.count == len(set().union(*expected))
        for first, second in itertools.combinations(range(len(labels)), 2):
            shared = len(np.intersect1d(sets[first], sets[second]))
            assert shared == len(expected[first] & expected[second])


def test_large_labels_do_not_overflow():
    top = 40_000
    labels = [np.array([top - 1, 0, top - 1]), np.array([top - 1, 1, top - 1])]
    assert ngram_sets(labels).count == 3 + 4 + 2


def test_what_was_covered_counts_less():
    labels = [np.array([0, 1, 2, 3]), np.array([0, 1, 2, 4]), np.array([5, 6])]
    # 9 n-grams in 3 s; then 3 new ones in 1 s are more than 4 new ones in 3 s
    seconds = np.array([3.0, 3.0, 1.5])
    assert list(coverage_order(ngram_sets(labels), seconds, np.arange(3))) == [0, 2, 1]


def test_equals_are_told_apart_by_the_seed():
    labels = [np.array([0, 1])] * 12
    orders = []
    for seed in range(2):
        ranks = seeded_ranks([f"u{i}" for i in range(12)], seed)
        orders.append(list(coverage_order(ngram_sets(labels), np.ones(12), ranks)))
        assert orders[-1] == np.argsort(ranks).tolist()  # each is a round of its own
    assert orders[0] != orders[1]


def test_hours_are_reached_within_half_an_utterance():
    rng = np.random.default_rng(0)
    seconds = rng.uniform(1, 20, 400)
    order = rng.permutation(400)
    before = []
    for hours in np.linspace(0.001, seconds.sum() / HOUR, 60):
        taken = take_hours(order, seconds, hours)
        assert taken == order[: len(taken)].tolist() and taken[: len(before)] == before
        miss = abs(seconds[taken].sum() - HOUR * hours)
        if len(taken) > 1:
            assert miss <= seconds[order[: len(taken) + 1]].max() / 2
        before = taken
    assert len(before) == 400 and take_hours(order, seconds, 1e-9) == [order[0]]


def test_an_order_is_read_no_further_than_needed():
    def endless():
        yield from (0, 1)
        raise AssertionError("read on")

    assert take_hours(endless(), np.array([HOUR, HOUR]), 2) == [0, 1]


def test_random_is_fair_and_does_not_depend_on_the_others():
    rng = np.random.default_rng(1)
    ids, seconds = [f"utterance {i}" for i in range(300)], rng.uniform(1, 10, 300)
    counts, means = np.zeros(300), []
    for seed in range(400):
        taken = take_hours(np.argsort(seeded_ranks(ids, seed)), seconds, 0.1 * sum(seconds) / HOUR)
        counts[taken] += 1
        means.append(seconds[taken].mean())
    assert abs(np.mean(means) - seconds.mean()) < 0.1  # 4 standard errors
    assert abs(np.corrcoef(counts, seconds)[0, 1]) < 0.2  # long ones are taken no more often
    assert counts.min() > 15 and counts.max() < 75  # 40 expected
    ranks, fewer = seeded_ranks(ids, 3), seeded_ranks(ids[::-2], 3)
    assert (np.argsort(np.argsort(ranks[::-2])) == fewer).all()
    assert sorted(ranks) == list(range(300))
    assert (ranks == seeded_ranks(ids, 3)).all() and (ranks != seeded_ranks(ids, 4)).any()


def test_more_hours_than_there_are_is_refused():
    seconds = np.full(10, 362.0)  # 1.0056 h
    check_hours(1.0, seconds)
    check_hours(1.01, seconds)  # as the log of the corpus rounds it
    with pytest.raises(ValueError, match="hours is 1.02, but .* last 1.01 h together; expected at"):
        check_hours(1.02, seconds)
