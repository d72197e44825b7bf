"""MFCC and log-mel: frame counts, where energy lands, invariances."""

import numpy as np
import pytest

from hf_rspin.audio import num_frames
from hf_rspin.units.mfcc import log_mel, mfcc


def test_one_vector_per_encoder_frame():
    generator = np.random.default_rng(0)
    for samples in (400, 719, 720, 5000):
        waveform = generator.normal(size=samples).astype("f4")
        assert mfcc(waveform).shape == (num_frames(samples), 39)
        assert log_mel(waveform, 80).shape == (num_frames(samples), 80)
    with pytest.raises(ValueError, match="399 samples"):
        mfcc(np.zeros(399, dtype="f4"))


def test_a_tone_lands_in_the_filter_around_it():
    time = np.arange(16000) / 16000
    mel = lambda f: 1127 * np.log1p(f / 700)  # noqa: E731
    centres = np.linspace(mel(20), mel(8000), 82)[1:-1]
    for hertz in (300, 1000, 4000):
        loudest = log_mel(np.sin(2 * np.pi * hertz * time).astype("f4"), 80).mean(0).argmax()
        assert abs(loudest - np.abs(centres - mel(hertz)).argmin()) <= 1


def test_level_does_not_matter_and_silence_is_finite():
    waveform = np.random.default_rng(1).normal(size=16000).astype("f4") * 0.1
    np.testing.assert_allclose(mfcc(waveform), mfcc(4 * waveform), atol=5e-3)
    assert np.isfinite(mfcc(np.zeros(16000, dtype="f4"))).all()


def test_differences_are_the_slope_of_the_statics():
    features = mfcc(np.random.default_rng(2).normal(size=8000).astype("f4"))
    static, first = features[:, :13], features[:, 13:26]
    for t in range(2, len(features) - 2):
        slope = np.polyfit(np.arange(-2, 3), static[t - 2 : t + 3], 1)[0]
        np.testing.assert_allclose(first[t], slope, atol=1e-4)
