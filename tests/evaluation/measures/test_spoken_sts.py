import itertools

import numpy as np
import pytest
from scipy.spatial.distance import cosine
from scipy.stats import spearmanr

from hf_rspin.evaluation.measures.spoken_sts import pair_similarities, spoken_sts


def draw(pairs=30, speakers=(4, 3), seed=0):
    rng = np.random.default_rng(seed)
    return [[rng.normal(size=(count, 6)) + 0.3 for _ in range(pairs)] for count in speakers]


def test_equals_cosines_of_all_speaker_pairs():
    first, second = draw()
    expected = [
        np.mean([1 - cosine(a, b) for a, b in itertools.product(one, two)])
        for one, two in zip(first, second, strict=True)
    ]
    np.testing.assert_allclose(pair_similarities(first, second), expected, atol=1e-12)
    human = np.random.default_rng(1).integers(0, 6, 30)
    assert spoken_sts(first, second, human) == pytest.approx(spearmanr(expected, human).statistic)


def test_angles_that_follow_human_scores_rank_perfectly():
    angles = np.linspace(0, 3, 20)
    second = [[[np.cos(angle), np.sin(angle)]] for angle in angles]
    first = [[[2.0, 0.0], [5.0, 0.0]]] * 20
    assert spoken_sts(first, second, np.exp(-angles)) == pytest.approx(1)
    assert spoken_sts(first, second, angles) == pytest.approx(-1)


def test_order_size_and_rotation_of_vectors_do_not_matter():
    first, second = draw(seed=2)
    rng = np.random.default_rng(3)
    rotation = np.linalg.qr(rng.normal(size=(6, 6)))[0]

    def changed(side):
        return [rng.uniform(0.1, 9, (len(x), 1)) * rng.permutation(x) @ rotation for x in side]

    np.testing.assert_allclose(
        pair_similarities(changed(first), changed(second)), pair_similarities(first, second)
    )
    np.testing.assert_allclose(pair_similarities(second, first), pair_similarities(first, second))


def test_wrong_inputs_are_refused():
    first, second = draw(3)
    with pytest.raises(ValueError, match="got 3 first and 2 second"):
        spoken_sts(first, second[1:], [1, 2, 3])
    with pytest.raises(ValueError, match=r"got 3 pairs of sentences with human scores \(2,\)"):
        spoken_sts(first, second, [1, 2])
    with pytest.raises(ValueError, match="human scores of 3 pairs hold no two that differ"):
        spoken_sts(first, second, [2, 2, 2])
    with pytest.raises(ValueError, match="human scores of 0 pairs"):
        spoken_sts([], [], [])
    with pytest.raises(ValueError, match="pair 1 has a vector that is zero"):
        spoken_sts([first[0], np.zeros((2, 6)), first[2]], second, [1, 2, 3])
    with pytest.raises(ValueError, match=r"vectors \(6,\) for a sentence of pair 0"):
        spoken_sts([x[0] for x in first], second, [1, 2, 3])
    with pytest.raises(ValueError, match="pair 0 have 6 and 5 dimensions"):
        spoken_sts(first, [x[:, 1:] for x in second], [1, 2, 3])
