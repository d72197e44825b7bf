import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

from hf_rspin.evaluation import unit_quality
from hf_rspin.evaluation.measures.unit_intervals import unit_intervals
from hf_rspin.evaluation.measures.unit_quality import (
    cluster_purity,
    perplexity,
    phone_given_unit,
    phone_normalized_mutual_information,
    phone_purity,
)

SINGLE = (phone_normalized_mutual_information, phone_purity, cluster_purity)


def test_equals_counted_information_and_purities():
    rng = np.random.default_rng(0)
    phones = rng.integers(0, 6, 3000)
    units = np.where(rng.random(3000) < 0.6, phones * 2, rng.integers(0, 15, 3000))
    found = unit_quality([phones[:900], phones[900:]], [units[:900], units[900:]])
    histogram = np.bincount(phones) / 3000
    assert found.pnmi == pytest.approx(
        mutual_info_score(phones, units) / -(histogram * np.log(histogram)).sum()
    )
    best = {u: np.bincount(phones[units == u]).argmax() for u in np.unique(units)}
    assert found.phone_purity == pytest.approx(np.mean([best[u] for u in units] == phones))
    home = {p: np.bincount(units[phones == p]).argmax() for p in range(6)}
    assert found.cluster_purity == pytest.approx(np.mean([home[p] for p in phones] == units))
    assert (found.num_used, found.num_frames) == (len(np.unique(units)), 3000)


def test_limits():
    phones = np.repeat(np.arange(4), 25)
    perfect = unit_quality([phones], [phones + 1])
    assert (perfect.pnmi, perfect.phone_purity) == (pytest.approx(1), 1)
    assert perfect.perplexity == pytest.approx(4)
    blind = unit_quality([phones], [np.tile([0, 1, 2, 3, 4], 20)])
    assert blind.pnmi == pytest.approx(0, abs=1e-12)
    assert unit_quality([np.zeros(9, int)], [np.arange(9)]).pnmi == 0
    assert perplexity(np.array([7, 7, 7])) == pytest.approx(1)


def test_ignored_frames_are_not_counted_and_columns_are_distributions():
    phones, units = [np.array([0, -1, 1, 1, 0])], [np.array([2, 2, -1, 5, 5])]
    assert unit_quality(phones, units).num_frames == 3
    shares, rows, columns = phone_given_unit(phones, units)
    np.testing.assert_array_equal(shares, [[1, 0.5], [0, 0.5]])
    assert (rows.tolist(), columns.tolist()) == ([0, 1], [2, 5])


def test_single_numbers_equal_those_of_unit_quality():
    rng = np.random.default_rng(1)
    phones, units = rng.integers(-1, 5, 400), rng.integers(-1, 9, 400)
    both = [phones[:150], phones[150:]], [units[:150], units[150:]]
    found = unit_quality(*both)
    expected = (found.pnmi, found.phone_purity, found.cluster_purity)
    assert tuple(measure(*both) for measure in SINGLE) == expected
    assert tuple(measure(phones, units) for measure in SINGLE) == expected
    assert tuple(measure(phones.tolist(), units.tolist()) for measure in SINGLE) == expected


def test_limits_of_single_numbers():
    phones = np.repeat(np.arange(4), [10, 20, 30, 40])
    rng = np.random.default_rng(2)
    renamed = rng.permutation(9)[phones]
    assert [measure(phones, renamed) for measure in SINGLE] == [pytest.approx(1), 1, 1]
    one_unit = [measure(phones, np.zeros(100, int)) for measure in SINGLE]
    assert one_unit == [pytest.approx(0, abs=1e-12), 0.4, 1]
    own_units = [measure(phones, np.arange(100)) for measure in SINGLE]
    assert own_units == [pytest.approx(1), 1, 0.04]
    order = rng.permutation(100)
    units = rng.integers(0, 7, 100)
    for measure in SINGLE:
        assert measure(phones[order], units[order]) == pytest.approx(measure(phones, units))
    # exchanging the sides exchanges the purities
    assert phone_purity(phones, units) == cluster_purity(units, phones)


def test_utterances_without_frames_and_phones_by_name_are_counted_alike():
    names = [np.array(["AA", "B", "B"]), np.array([]), np.array(["AA"])]
    units = [np.array([3, 4, 4]), np.array([]), np.array([4])]
    assert phone_purity(names, units) == 0.75
    assert cluster_purity(names, units) == 0.75


@pytest.mark.parametrize("measure", SINGLE)
def test_nothing_to_count_is_refused(measure):
    for nothing in ([], [[]], np.array([]), np.full(3, -1)):
        with pytest.raises(ValueError, match="no frame has both a phone and a unit"):
            measure(nothing, nothing)


def test_wrong_labels_are_refused():
    with pytest.raises(ValueError, match="phone labels of 2 utterances and units of 1"):
        unit_quality([np.zeros(2, int), np.zeros(3, int)], [np.zeros(2, int)])
    with pytest.raises(ValueError, match="got 2 phone labels and 3 units for utterance 0"):
        unit_quality([np.zeros(2, int)], [np.zeros(3, int)])
    with pytest.raises(ValueError, match="no frame"):
        unit_quality([np.full(4, -1)], [np.zeros(4, int)])


def made_up(num_groups=30, num_frames=400):
    rng = np.random.default_rng(1)
    phones = [rng.integers(-1, 6, num_frames) for _ in range(num_groups)]
    noise = rng.random(num_groups)  # groups differ: their resamples do
    units = [np.where(rng.random(num_frames) < share, 2 * row + 2, rng.integers(0, 20, num_frames))
             for row, share in zip(phones, noise, strict=True)]  # fmt: skip
    return phones, units


def test_the_interval_of_information_is_that_of_resampled_groups():
    phones, units = made_up()
    groups = [place // 3 for place in range(30)]
    found = unit_intervals(phones, units, groups, num_resamples=400)["pnmi"]
    assert found.value == pytest.approx(unit_quality(phones, units).pnmi)
    assert found.low < found.value < found.high
    rng = np.random.default_rng(5)
    values = []
    for _ in range(200):  # by hand: utterances of the groups drawn, some several times
        drawn = [3 * group + k for group in rng.integers(0, 10, 10) for k in range(3)]
        values.append(unit_quality([phones[i] for i in drawn], [units[i] for i in drawn]).pnmi)
    width = np.diff(np.percentile(values, (2.5, 97.5)))[0]
    assert found.high - found.low == pytest.approx(width, rel=0.25)


def test_purities_of_resampled_groups():
    phones, units = made_up()
    found, whole = unit_intervals(phones, units), unit_quality(phones, units)
    for name in ("phone_purity", "cluster_purity"):
        assert found[name].value == pytest.approx(getattr(whole, name))
        assert found[name].low < found[name].value < found[name].high
    # drawn once each, two groups give what they give by hand, but for the mean of the draws
    draws = unit_intervals(phones[:2], units[:2], num_resamples=500)
    by_hand = [
        unit_quality([phones[i] for i in pair], [units[i] for i in pair]).phone_purity
        for pair in ((0, 0), (0, 1), (1, 1))
    ]
    drawn = np.unique(np.round(draws["phone_purity"].draws, 9))
    np.testing.assert_allclose(np.diff(drawn), np.diff(np.sort(by_hand)), atol=1e-8)


def test_one_speaker_has_no_interval_and_units_that_tell_all_have_one_of_no_width():
    phones, units = made_up(4)
    found = unit_intervals(phones, units, ["a"] * 4)["pnmi"]
    assert np.isnan([found.low, found.high]).all() and found.value > 0
    perfect = unit_intervals(phones, phones, num_resamples=20)["pnmi"]
    assert (perfect.low, perfect.value, perfect.high) == pytest.approx((1, 1, 1))
    same = [np.zeros_like(row) for row in phones]
    constant = unit_intervals(phones, same, num_resamples=20)["pnmi"]
    assert constant.value == pytest.approx(0, abs=1e-12)
