"""Both views of a data set draw by (seed, epoch, index, view): each number counts."""

import numpy as np
import pytest
import soundfile

from hf_rspin.data import TwoViewDataset, load_corpus
from hf_rspin.views import AddNoise, ComposedViews, LaserViews, NoiseBank, RSpinViews, build_views

RATE = 16_000


@pytest.fixture
def corpus(speech, tmp_path):
    for index in range(3):  # the same sound, so that only the draws differ
        soundfile.write(tmp_path / f"{index}.wav", speech, RATE, subtype="FLOAT")
    return load_corpus(tmp_path)


@pytest.fixture(scope="module")
def bank():
    return NoiseBank(list(np.random.default_rng(0).standard_normal((3, 20 * RATE))))


def dataset(corpus, views, seed=0):
    return TwoViewDataset(corpus, views, seed=seed, min_seconds=1.0)


def test_the_noise_of_both_views_changes_with_seed_epoch_and_index(corpus, speech, bank):
    noise = AddNoise(bank, snr_range_db=(-10.0, 10.0))
    views = ComposedViews([noise], [noise])  # first draws, which equal keys would make equal
    examples = [
        dataset(corpus, views, seed)[epoch, index]
        for seed in (0, 1)
        for epoch in (0, 1)
        for index in (0, 1)
    ]
    noises = [view - speech for e in examples for view in (e.clean, e.perturbed)]
    correlations = np.abs(np.corrcoef(noises)) - np.eye(len(noises))
    assert correlations.max() < 0.1
    levels = np.std(noises, axis=1)
    assert len(np.unique(np.round(levels, 6))) == len(levels)  # as do the SNRs


@pytest.mark.parametrize(
    "make",
    [
        lambda bank: RSpinViews(bank),
        lambda bank: LaserViews(),
        lambda bank: build_views("spin", augmentations=["mp3", "telephone", "clipping"]),
    ],
)
def test_an_example_is_the_same_whatever_was_drawn_before_it(corpus, bank, make):
    views = make(bank)
    straight = [dataset(corpus, views)[epoch, index] for epoch in (0, 1) for index in (0, 1, 2)]
    other = dataset(corpus, make(bank))
    for number in (5, 0, 3, 1):
        again = other[divmod(number, 3)]
        np.testing.assert_array_equal(again.clean, straight[number].clean)
        np.testing.assert_array_equal(again.perturbed, straight[number].perturbed)
    perturbed = {example.perturbed.tobytes() for example in straight}
    assert len(perturbed) == 6 or isinstance(views, LaserViews)  # which has six pairs of values
    assert len(perturbed) > 2
