"""The measurements of voices, on sounds whose F0 and resonances are known."""

import numpy as np
import pytest
import scipy.signal

from hf_rspin.evaluation.voices import envelope_ratio, log_envelope, median_f0, vowel_envelope

RATE = 16_000


def vowel(f0, formants=(600.0, 1400.0, 2600.0), seconds=1.0):
    times = np.arange(int(seconds * RATE)) / RATE
    pulses = sum(np.cos(2 * np.pi * k * f0 * times) for k in range(1, int(7000 / f0)))
    for frequency in formants:
        radius = np.exp(-np.pi * 100 / RATE)
        poles = [1.0, -2 * radius * np.cos(2 * np.pi * frequency / RATE), radius**2]
        pulses = scipy.signal.lfilter([1.0], poles, pulses)
    return 0.3 * pulses / np.abs(pulses).max()


@pytest.mark.parametrize("f0", [90.0, 133.3, 220.0, 390.0])
def test_f0_of_a_vowel(f0):
    pauses = 1e-3 * np.random.default_rng(0).standard_normal(RATE // 2)
    waveform = np.concatenate([pauses, vowel(f0), pauses])
    assert median_f0(waveform, RATE, 75.0, 500.0) == pytest.approx(f0, rel=0.01)


def test_what_has_no_pitch_has_no_f0():
    hiss = np.random.default_rng(1).standard_normal(RATE)
    for waveform in (hiss, np.zeros(RATE), vowel(200.0)[:300], np.zeros(0)):
        assert np.isnan(median_f0(waveform, RATE, 75.0, 500.0))


@pytest.mark.parametrize("ratio", [1 / 1.4, 0.9, 1.0, 1.2, 1.4])
def test_formants_that_moved(ratio):
    formants, times = np.array([600.0, 1400.0, 2600.0]), np.arange(0.1, 0.9, 0.02)
    before, after = vowel(110.0, formants), vowel(140.0, ratio * formants)
    envelopes = [vowel_envelope(waveform, RATE, times) for waveform in (before, after)]
    assert envelope_ratio(*envelopes) == pytest.approx(ratio, rel=0.04)
    whole = [log_envelope(waveform, RATE) for waveform in (before, after)]
    assert envelope_ratio(*whole) == pytest.approx(ratio, rel=0.04)


def test_an_envelope_is_of_loud_frames_inside():
    quiet = np.concatenate([vowel(110.0), 0.01 * vowel(110.0, (900.0, 2000.0, 3000.0))])
    both = vowel_envelope(quiet, RATE, np.arange(0.1, 1.9, 0.02))
    loud = vowel_envelope(quiet, RATE, np.arange(0.1, 0.9, 0.02))
    np.testing.assert_allclose(both, loud, atol=0.5)
    assert vowel_envelope(quiet, RATE, np.array([0.0, 0.01, 5.0])) is None
