import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

from hf_rspin.evaluation import unit_quality
from hf_rspin.evaluation.measures.unit_quality import perplexity, phone_given_unit


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


def test_wrong_labels_are_refused():
    with pytest.raises(ValueError, match="got 2 phone labels and 3 units for utterance 0"):
        unit_quality([np.zeros(2, int)], [np.zeros(3, int)])
    with pytest.raises(ValueError, match="no frame"):
        unit_quality([np.full(4, -1)], [np.zeros(4, int)])
