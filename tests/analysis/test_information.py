import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

from hf_rspin.analysis.information import (
    joint_counts,
    phone_given_unit,
    unit_information,
)


def test_equals_a_public_mutual_information_and_counted_purities():
    rng = np.random.default_rng(0)
    phones = rng.integers(0, 6, 3000)
    units = np.where(rng.random(3000) < 0.6, phones * 2, rng.integers(0, 15, 3000))
    found = unit_information(joint_counts([phones[:900], phones[900:]],
                                          [units[:900], units[900:]], 6, 20))
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
    perfect = unit_information(joint_counts([phones], [phones + 1], 4, 5))
    assert (perfect.pnmi, perfect.phone_purity) == (pytest.approx(1), 1)
    assert perfect.perplexity == pytest.approx(4)
    blind = unit_information(joint_counts([phones], [np.tile([0, 1, 2, 3, 4], 20)], 4, 5))
    assert blind.pnmi == pytest.approx(0, abs=1e-12)
    constant = unit_information(joint_counts([np.zeros(9, int)], [np.arange(9)], 1, 9))
    assert constant.pnmi == 0


def test_ignored_frames_are_not_counted_and_columns_are_distributions():
    counts = joint_counts([np.array([0, -1, 1, 1])], [np.array([2, 2, -1, 0])], 2, 3)
    np.testing.assert_array_equal(counts, [[0, 0, 1], [1, 0, 0]])
    np.testing.assert_array_equal(phone_given_unit(counts), [[0, 0, 1], [1, 0, 0]])


def test_wrong_labels_are_refused():
    with pytest.raises(ValueError, match="utterance 0 has 2 phone labels and 3 units"):
        joint_counts([np.zeros(2, int)], [np.zeros(3, int)], 2, 2)
    with pytest.raises(ValueError, match="utterance 0 has labels outside"):
        joint_counts([np.array([0, 2])], [np.array([0, 0])], 2, 2)
    with pytest.raises(ValueError, match="no frame"):
        unit_information(np.zeros((2, 2), int))
