import itertools

import numpy as np
import pytest

from hf_rspin.evaluation.measures.cross_validated_pwcca import (
    EPSILONS,
    LARGER_EPSILONS,
    cross_validated_pwcca,
    fit_all,
    stratified_folds,
)
from hf_rspin.evaluation.measures.pwcca import PWCCA, Covariances


def draw(noise=0.3, samples=700, classes=5, dim=12, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, samples)
    vectors = rng.normal(size=(classes, dim))[labels] + noise * rng.normal(size=(samples, dim))
    return vectors, np.eye(classes)[labels], labels


def test_every_fold_has_its_share_of_every_label():
    labels = np.repeat(list("abcdef"), [100, 57, 30, 9, 3, 1])
    labels = np.random.default_rng(0).permutation(labels)
    folds = stratified_folds(labels, np.random.default_rng(1))
    assert np.ptp(np.bincount(folds, minlength=10)) <= 1
    for label in "abcdef":
        assert np.ptp(np.bincount(folds[labels == label], minlength=10)) <= 1
    assert (folds != stratified_folds(labels, np.random.default_rng(2))).any()


def test_full_protocol_equals_its_description():
    x, y, labels = draw(noise=2.0)
    y = y + 0.3 * np.random.default_rng(1).normal(size=y.shape)
    found = cross_validated_pwcca(x, y, labels, "full", seed=4)
    folds = stratified_folds(labels, np.random.default_rng(4))
    for test, split in enumerate(found.splits):
        parts = {
            "train": ~np.isin(folds, [test, (test + 1) % 10]),
            "dev": folds == (test + 1) % 10,
            "test": folds == test,
        }
        assert [round(part.sum() / 70) for part in parts.values()] == [8, 1, 1]
        train, dev, held_out = ((x[part], y[part]) for part in parts.values())
        fitted = {e: PWCCA(*e).fit(*train) for e in itertools.product(EPSILONS, EPSILONS)}
        scores = {epsilons: pwcca.score(*dev) for epsilons, pwcca in fitted.items()}
        assert split.dev_score == pytest.approx(max(scores.values()), abs=1e-9)
        chosen = split.epsilon_x, split.epsilon_y
        assert scores[chosen] == pytest.approx(split.dev_score, abs=1e-9)
        assert split.score == pytest.approx(fitted[chosen].score(*held_out), abs=1e-9)
    assert found.score == pytest.approx(np.mean([split.score for split in found.splits]))


def test_published_protocol_is_part_of_the_full_one():
    x, y, labels = draw(noise=2.0)
    full = cross_validated_pwcca(x, y, labels, "full", seed=5)
    part = cross_validated_pwcca(x, y, labels, seed=5)
    assert (len(full.splits), len(part.splits)) == (10, 3)
    for found, test in zip(part.splits, (0, 2, 4), strict=True):
        assert found.score == pytest.approx(full.splits[test].score, abs=1e-5)
        assert found.dev_score <= full.splits[test].dev_score


def test_seeds_decide():
    views = draw(noise=2.0)
    assert cross_validated_pwcca(*views, seed=1) == cross_validated_pwcca(*views, seed=1)
    assert cross_validated_pwcca(*views, seed=1) != cross_validated_pwcca(*views, seed=2)


def test_vectors_that_know_the_label_score_high():
    clear, blurred, none = (cross_validated_pwcca(*draw(noise)).score for noise in (0.1, 3.0, 1e6))
    assert clear > 0.75 and clear > blurred + 0.1 > none + 0.2  # the sum of one-hots counts as 0


@pytest.mark.parametrize(("below_zero", "smallest", "count"), [(5e-9, 1e-8, 9), (5e-7, 1e-6, 8)])
def test_larger_epsilons_are_tried_where_the_decomposition_fails(below_zero, smallest, count):
    vectors, one_hot, _ = draw()  # the smallest eigenvalue of one-hot labels is zero
    covariances = Covariances(vectors, one_hot)
    covariances.own = covariances.own[0], covariances.own[1] - below_zero * np.eye(5)
    found = fit_all(covariances, 9, np.random.default_rng(0))
    assert len(found) == count
    assert {pwcca.epsilon_x for pwcca in found} == set(LARGER_EPSILONS)
    assert {pwcca.epsilon_y for pwcca in found} == {e for e in LARGER_EPSILONS if e >= smallest}


def test_covariances_that_no_epsilon_helps_are_refused():
    covariances = Covariances(*draw()[:2])
    covariances.own = covariances.own[0], covariances.own[1] - 0.1 * np.eye(5)
    with pytest.raises(ValueError, match="no epsilon up to 1e-05"):
        fit_all(covariances, 6, np.random.default_rng(0))


def test_wrong_inputs_are_refused():
    x, y, labels = draw()
    with pytest.raises(ValueError, match="got protocol 'all'"):
        cross_validated_pwcca(x, y, labels, "all")
    with pytest.raises(ValueError, match="got 699 strata for 700 samples"):
        cross_validated_pwcca(x, y, labels[1:])
    with pytest.raises(ValueError, match=r"got x \(700, 12\) and y \(699, 5\)"):
        cross_validated_pwcca(x, y[1:], labels)
    with pytest.raises(ValueError, match="samples of 12 dimensions in x"):
        cross_validated_pwcca(x[:13], y[:13], labels[:13])
    with pytest.raises(ValueError, match="got 4 samples for 5 directions"):
        cross_validated_pwcca(x[:40], y[:40])


def test_scores_of_resamples_are_those_of_the_samples_drawn():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 6))
    y = x[:, :3] + rng.normal(size=(500, 3))
    groups = np.arange(500) % 9
    pwcca = PWCCA().fit(x[:300], y[:300])
    test, members = slice(300, None), groups[300:]
    once = pwcca.resampled_scores(x[test], y[test], members, np.ones((1, 9), int))
    assert once == pytest.approx([pwcca.score(x[test], y[test])])
    # group 2 three times, 5 once: correlations of these samples, weights as before
    times = np.zeros((1, 9), int)
    times[0, [2, 5]] = 3, 1
    drawn = 300 + np.concatenate([np.flatnonzero(members == g) for g in (2, 2, 2, 5)])
    correlations = pwcca.correlations(x[drawn], y[drawn])
    whole = pwcca.correlations(x[test], y[test])
    (found,) = pwcca.resampled_scores(x[test], y[test], members, times)
    assert correlations.min() - 1e-9 <= found <= correlations.max() + 1e-9
    assert found != pytest.approx(whole.mean())
    assert np.isnan(pwcca.resampled_scores(x[test], y[test], members, np.zeros((1, 9), int)))


def test_an_interval_holds_the_score_and_is_narrower_with_more_groups():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3000, 6))
    y = x[:, :3] + rng.normal(size=(3000, 3))
    plain = cross_validated_pwcca(x, y)
    assert np.isnan([plain.low, plain.high]).all()
    few, many = (cross_validated_pwcca(x, y, groups=np.arange(3000) % n) for n in (8, 300))
    one = cross_validated_pwcca(x, y, groups=["a"] * 3000)
    assert plain.score == few.score == many.score == one.score
    assert np.isnan([one.low, one.high]).all()
    for found in (few, many):
        assert found.low < found.score < found.high < found.low + 0.2


def test_intervals_of_one_hot_labels_do_not_hang_on_rounding():
    rng = np.random.default_rng(0)
    labels, groups = rng.integers(0, 5, 400), rng.integers(0, 7, 400)
    x, y = rng.normal(size=(400, 6)), np.eye(5)[labels]
    x[:, :5] += y
    found = [cross_validated_pwcca(x + offset, y, labels, groups=groups)
             for offset in (0, 1e-9, 1e4)]  # fmt: skip
    for other in found[1:]:
        assert (other.low, other.high) == pytest.approx((found[0].low, found[0].high), abs=1e-4)


def test_one_or_two_samples_are_refused():
    x, y, _ = draw()
    for count in (1, 2):
        with pytest.raises(ValueError, match="samples"):
            cross_validated_pwcca(x[:count, :1], y[:count, :1])
