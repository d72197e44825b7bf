import numpy as np
import pytest

from hf_rspin.evaluation.measures.mutual_information import layer_mutual_information


def draw(seed, noise, tokens=600, classes=6):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, tokens)
    centres = 10 * np.eye(classes, 8)
    return centres[labels] + noise * rng.normal(size=(tokens, 8)), labels


def test_clear_clusters_know_all_and_noise_knows_nothing():
    (train, phones), (test, others) = draw(0, 0.1), draw(1, 0.1)
    found = layer_mutual_information(train, phones, test, others, 6)
    assert (found.held_out, found.train) == (pytest.approx(1), pytest.approx(1))
    (train, phones), (test, others) = draw(2, 1e4, 3000), draw(3, 1e4, 3000)
    assert layer_mutual_information(train, phones, test, others, 6).held_out < 0.02


def test_merged_classes_leave_the_information_that_counting_gives():
    train, phones = draw(4, 0.1)
    phones = phones + 6 * np.random.default_rng(0).integers(0, 2, len(phones))
    test, others = draw(5, 0.1)
    halves = np.random.default_rng(1).integers(0, 2, len(others))
    found = layer_mutual_information(train, phones, test, others + 6 * halves, 6).held_out

    def entropy(labels):
        shares = np.unique(labels, return_counts=True)[1] / len(labels)
        return -(shares * np.log(shares)).sum()

    assert found == pytest.approx(entropy(others) / entropy(others + 6 * halves), abs=1e-9)


def test_noisier_layers_know_less_and_few_tokens_per_cluster_flatter():
    found = [
        layer_mutual_information(*draw(6, noise), *draw(7, noise), 60) for noise in (1, 4, 8)
    ]
    held_out = [one.held_out for one in found]
    assert held_out[0] > held_out[1] > held_out[2]
    blind = [draw(seed, 1e4) for seed in (6, 7)]
    few, many = (layer_mutual_information(*blind[0], *blind[1], count) for count in (3, 300))
    assert few.held_out < 0.03 and few.train < 0.03
    assert many.held_out > 0.2 and many.train > 0.2


def test_words_of_any_type_and_one_seed_for_one_result():
    (train, phones), (test, others) = draw(8, 4), draw(9, 4)
    words = np.array(list("abcdef"))
    numbers = layer_mutual_information(train, phones, test, others, 20, seed=3)
    named = layer_mutual_information(train, words[phones], test, list(words[others]), 20, seed=3)
    assert named == numbers
    assert layer_mutual_information(train, phones, test, others, 20, seed=4) != numbers


def test_one_cluster_and_one_label_are_zero():
    (train, phones), (test, others) = draw(10, 1), draw(11, 1)
    assert layer_mutual_information(train, phones, test, others, 1).held_out == pytest.approx(0)
    single = layer_mutual_information(train, phones, test, np.zeros(600), 6)
    assert single.held_out == 0 and single.train > 0.5


def test_wrong_inputs_are_refused():
    tokens, labels = draw(12, 1)
    with pytest.raises(ValueError, match=r"test tokens \(600, 8\) with labels \(599,\)"):
        layer_mutual_information(tokens, labels, tokens, labels[1:], 6)
    with pytest.raises(ValueError, match=r"train tokens \(0, 8\)"):
        layer_mutual_information(tokens[:0], labels[:0], tokens, labels, 6)
    with pytest.raises(ValueError, match="8 and 7 dimensions"):
        layer_mutual_information(tokens, labels, tokens[:, 1:], labels, 6)
    with pytest.raises(ValueError, match="got 601 clusters for 600 training tokens"):
        layer_mutual_information(tokens, labels, tokens, labels, 601)
    with pytest.raises(ValueError, match="test tokens are not all finite"):
        layer_mutual_information(tokens, labels, tokens * np.nan, labels, 6)
