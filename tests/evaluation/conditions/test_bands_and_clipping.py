import numpy as np
import pytest

from hf_rspin.evaluation.conditions import Clipping, HighPass, LowPass, Resampling

RATE = 16000


def noise():
    return np.random.default_rng(0).normal(0, 0.1, 4 * RATE).astype(np.float32)


def gain_db(condition, low, high):
    """Return what a condition leaves of white noise between two frequencies."""
    spectra = [np.abs(np.fft.rfft(x)) ** 2 for x in (condition(noise(), "u"), noise())]
    frequencies = np.fft.rfftfreq(4 * RATE, 1 / RATE)
    inside = (frequencies >= low) & (frequencies < high)
    return 10 * np.log10(spectra[0][inside].sum() / spectra[1][inside].sum())


@pytest.mark.parametrize("severity, cutoff", enumerate((4000, 2000, 1000, 500), 1))
def test_a_low_pass_cuts_what_is_above(severity, cutoff):
    condition = LowPass(severity)
    assert condition.cutoff_hz == cutoff
    assert gain_db(condition, 1.25 * cutoff, 8000) < -30
    assert gain_db(condition, 20, 0.8 * cutoff) == pytest.approx(0, abs=0.3)
    assert gain_db(condition, 0.99 * cutoff, 1.01 * cutoff) == pytest.approx(-6, abs=0.5)


@pytest.mark.parametrize("severity, cutoff", enumerate((500, 1000, 2000, 3000), 1))
def test_a_high_pass_cuts_what_is_below(severity, cutoff):
    condition = HighPass(severity)
    assert condition.cutoff_hz == cutoff
    assert gain_db(condition, 0, 0.8 * cutoff) < -30
    assert gain_db(condition, 1.25 * cutoff, 8000) == pytest.approx(0, abs=0.3)
    assert gain_db(condition, 0.99 * cutoff, 1.01 * cutoff) == pytest.approx(-6, abs=0.5)


@pytest.mark.parametrize("severity, rate", enumerate((12000, 8000, 4000, 2000), 1))
def test_a_lower_rate_leaves_nothing_above_its_half(severity, rate):
    condition = Resampling(severity)
    assert condition.sampling_rate == rate
    assert gain_db(condition, 0.51 * rate, 8000) < -50
    assert gain_db(condition, 20, 0.44 * rate) == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize("severity, share", enumerate((0.05, 0.1, 0.2, 0.4), 1))
def test_the_asked_share_of_samples_is_clipped(severity, share, speech):
    for waveform in speech:
        heard = Clipping(severity)(waveform, "u")
        changed = heard != waveform
        assert changed.sum() / (waveform != 0).sum() == pytest.approx(share, abs=0.005)
        np.testing.assert_array_equal(np.abs(heard[changed]), np.abs(heard).max())
        np.testing.assert_array_equal(np.sign(heard), np.sign(waveform))
        assert np.abs(waveform[~changed]).max() <= np.abs(heard).max()


def test_clipping_does_not_count_digital_silence():
    waveform = np.zeros(10_000, dtype=np.float32)
    waveform[:100] = np.arange(1, 101) / 100
    heard = Clipping(4)(waveform, "u")
    assert (heard != waveform).sum() == 40 and heard.max() == pytest.approx(0.604, abs=1e-3)
