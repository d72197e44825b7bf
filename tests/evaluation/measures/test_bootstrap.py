import numpy as np
import pytest

from hf_rspin.evaluation.measures.bootstrap import bootstrap_interval, paired_difference
from hf_rspin.evaluation.measures.error_rates import ErrorCounts


def draw_counts(rng, utterances, rate, length=20):
    return ErrorCounts(rng.binomial(length, rate, utterances), np.full(utterances, length))


def test_interval_has_the_width_of_the_normal_approximation():
    counts = draw_counts(np.random.default_rng(0), 800, 0.3)
    found = bootstrap_interval(counts)
    half = 1.96 * (counts.errors / 20).std(ddof=1) / np.sqrt(800)
    assert found.value == counts.rate
    assert found.low == pytest.approx(counts.rate - half, abs=0.1 * half)
    assert found.high == pytest.approx(counts.rate + half, abs=0.1 * half)


def test_interval_covers_the_true_rate_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    found = [bootstrap_interval(draw_counts(rng, 60, 0.4), num_resamples=300) for _ in range(150)]
    covered = np.mean([interval.low <= 0.4 <= interval.high for interval in found])
    assert 0.88 <= covered <= 0.99


def test_resampling_speakers_is_wider_when_speakers_differ():
    rng = np.random.default_rng(2)
    speakers = np.repeat(np.arange(30), 20)
    errors = rng.binomial(20, rng.uniform(0.1, 0.6, 30)[speakers])
    counts = ErrorCounts(errors, np.full(600, 20))
    plain, grouped = bootstrap_interval(counts), bootstrap_interval(counts, groups=speakers)
    assert grouped.high - grouped.low > 2 * (plain.high - plain.low)


def test_the_same_seed_gives_the_same_interval():
    counts = draw_counts(np.random.default_rng(3), 50, 0.3)
    assert bootstrap_interval(counts, seed=5) == bootstrap_interval(counts, seed=5)
    assert bootstrap_interval(counts, seed=5) != bootstrap_interval(counts, seed=6)


def test_a_system_does_not_differ_from_itself():
    counts = draw_counts(np.random.default_rng(4), 100, 0.3)
    found = paired_difference(counts, counts)
    assert (found.value, found.low, found.high, found.p_value) == (0, 0, 0, 1)


def test_pairing_sees_a_small_constant_gain_that_intervals_hide():
    rng = np.random.default_rng(5)
    first = draw_counts(rng, 300, rng.uniform(0.1, 0.7, 300))
    second = ErrorCounts(np.maximum(first.errors - rng.integers(0, 2, 300), 0), first.lengths)
    found = paired_difference(first, second)
    assert found.value == pytest.approx(second.rate - first.rate)
    assert found.low < found.value < found.high < 0
    assert found.p_value < 0.01
    assert bootstrap_interval(second).high > bootstrap_interval(first).low


def test_equal_systems_are_rarely_called_different():
    rng = np.random.default_rng(6)
    pairs = [(draw_counts(rng, 80, 0.3), draw_counts(rng, 80, 0.3)) for _ in range(120)]
    rejected = np.mean([paired_difference(*p, num_resamples=300).p_value < 0.05 for p in pairs])
    assert rejected <= 0.12


def test_other_utterances_are_refused():
    rng = np.random.default_rng(7)
    with pytest.raises(ValueError, match="same utterances"):
        paired_difference(draw_counts(rng, 10, 0.3, 20), draw_counts(rng, 10, 0.3, 21))
    with pytest.raises(ValueError, match="got 3 group labels for 10"):
        bootstrap_interval(draw_counts(rng, 10, 0.3), groups=[1, 2, 3])


def test_groups_are_resampled_whole():
    errors, lengths = np.array([9, 9, 0, 0]), np.full(4, 10)
    counts, groups = ErrorCounts(errors, lengths), ["a", "a", "b", "b"]
    found = bootstrap_interval(counts, groups, num_resamples=500)
    assert (found.low, found.high) == (0, 0.9)  # one speaker twice is as likely as not
    summed = ErrorCounts(np.array([18, 0]), np.array([20, 20]))
    assert found == bootstrap_interval(summed, num_resamples=500)


def test_one_utterance_has_a_rate_but_no_interval():
    counts = ErrorCounts(np.array([3]), np.array([10]))
    found = bootstrap_interval(counts)
    assert found.value == 0.3 and np.isnan([found.low, found.high]).all()
    gap = paired_difference(counts, ErrorCounts(np.array([5]), np.array([10])))
    assert gap.value == pytest.approx(0.2) and np.isnan(gap.low) and gap.p_value == 1


def test_speakers_without_a_reference_token_leave_the_interval_finite():
    counts = ErrorCounts(np.array([1, 2, 3, 1]), np.array([4, 5, 6, 0]))
    found = bootstrap_interval(counts, list("aabc"))
    assert np.isfinite([found.low, found.high]).all() and found.value == pytest.approx(7 / 15)
    assert found.low <= 6 / 15 <= found.high  # c has no rate of its own
    alone = bootstrap_interval(ErrorCounts(np.array([1, 0]), np.array([4, 0])), list("ab"))
    assert np.isnan([alone.low, alone.high]).all()
