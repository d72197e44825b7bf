import numpy as np
import pytest

from hf_rspin.evaluation.measures.term_detection import maximum_term_weighted_value


def by_enumeration(scores, relevant, trials, beta):
    """Try every threshold, and none."""
    best = 0.0
    for threshold in np.unique(scores):
        values = []
        for row, hits, tried in zip(scores, relevant, trials, strict=True):
            if not (hits & tried).any():
                continue
            found = row >= threshold
            miss = 1 - found[hits & tried].mean()
            others = ~hits & tried
            alarm = found[others].mean() if others.any() else 0.0
            values.append(1 - miss - beta * alarm)
        best = max(best, np.mean(values))
    return best


@pytest.mark.parametrize("seed", range(6))
def test_the_value_is_the_best_of_all_thresholds(seed):
    generator = np.random.default_rng(seed)
    relevant = generator.random((7, 12)) < 0.2
    relevant[2] = False  # no document has it
    relevant[3] = True  # all have
    trials = generator.random((7, 12)) < 0.8
    scores = np.round(generator.standard_normal((7, 12)) + 2 * relevant, 1)  # with ties
    for costs, beta in (({}, 12.49), ({"false_alarm_cost": 10, "prior": 0.5}, 0.1)):
        found = maximum_term_weighted_value(scores, relevant, trials=trials, **costs)
        assert found.value == pytest.approx(by_enumeration(scores, relevant, trials, beta))
        assert 0 < found.value < 1
        kept = scores >= found.threshold
        again = by_enumeration(np.where(kept, 1.0, 0.0), relevant, trials, beta)
        assert again == pytest.approx(found.value)


def test_perfect_useless_and_tied_scores():
    relevant = np.array([[True, False, False, True], [False, True, False, False]])
    perfect = maximum_term_weighted_value(relevant * 2.0, relevant)
    assert perfect == (1.0, 2.0)
    assert maximum_term_weighted_value(-1.0 * relevant, relevant) == (0.0, np.inf)
    assert maximum_term_weighted_value(np.zeros((2, 4)), relevant) == (0.0, np.inf)
    # by hand: one of two found, one false alarm of two costs beta / 2
    scores = np.array([[3.0, 2.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0]])
    cheap = maximum_term_weighted_value(scores[:1], relevant[:1], 1, 1, 10 / 11)
    assert cheap.value == pytest.approx(1 - 0.1 / 2) and cheap.threshold == 1.0
    dear = maximum_term_weighted_value(scores[:1], relevant[:1])
    assert dear == (0.5, 3.0)


def test_bad_input_is_refused():
    yes = np.ones((1, 2), bool)
    with pytest.raises(ValueError, match=r"got scores \(1, 3\), relevant \(1, 2\)"):
        maximum_term_weighted_value(np.zeros((1, 3)), yes)
    with pytest.raises(ValueError, match="no query has a relevant document"):
        maximum_term_weighted_value(np.zeros((1, 2)), ~yes)
    with pytest.raises(ValueError, match="got a score that is NaN"):
        maximum_term_weighted_value(np.full((1, 2), np.nan), yes)
    with pytest.raises(ValueError, match="got prior 0; expected a probability"):
        maximum_term_weighted_value(np.zeros((1, 2)), yes, prior=0.0)
