import numpy as np
import pytest

from hf_rspin.views import estimate_f0, estimate_f0_range

RATE = 16_000


@pytest.mark.parametrize("f0", [80.0, 123.4, 210.0, 333.3, 500.0])
def test_the_track_of_a_steady_vowel_is_its_f0(vowel, f0):
    track = estimate_f0(vowel(f0, 0.5), RATE)
    assert (track.frequencies > 0).mean() > 0.95
    np.testing.assert_allclose(track.voiced_frequencies, f0, rtol=0.01)


def test_the_track_follows_a_glide(vowel):
    glide = np.linspace(100.0, 200.0, RATE)
    track = estimate_f0(vowel(glide), RATE)
    expected = np.interp(track.times, np.arange(RATE) / RATE, glide)
    assert np.median(np.abs(track.frequencies / expected - 1)) < 0.01
    assert np.diff(track.times) == pytest.approx(0.8 / 75.0, abs=2e-4)


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 48_000])
def test_any_sampling_rate_gives_the_same_f0(vowel, rate):
    import soxr

    waveform = soxr.resample(vowel(150.0, 0.4), RATE, rate)
    assert estimate_f0(waveform, rate).median == pytest.approx(150.0, rel=0.01)


@pytest.mark.parametrize("kind", ["silence", "constant", "noise", "short", "empty"])
def test_what_has_no_pitch_is_unvoiced(kind):
    generator = np.random.default_rng(1)
    waveform = {
        "silence": np.zeros(RATE),
        "constant": np.full(RATE, 0.5),
        "noise": generator.standard_normal(RATE),
        "short": generator.standard_normal(300),
        "empty": np.zeros(0),
    }[kind].astype(np.float32)
    assert not estimate_f0(waveform, RATE).is_voiced
    assert estimate_f0(waveform, RATE).median == 0.0
    assert estimate_f0_range(waveform, RATE) is None


def test_the_range_is_the_widened_quartiles(vowel):
    glide = np.linspace(100.0, 200.0, 2 * RATE)
    low, high = estimate_f0_range(vowel(glide, 2.0), RATE)
    assert low == pytest.approx(0.75 * 125.0, rel=0.03)
    assert high == pytest.approx(1.5 * 175.0, rel=0.03)


@pytest.mark.parametrize("limits", [(0.0, 300.0), (300.0, 200.0), (75.0, 3000.0)])
def test_a_wrong_range_is_refused(limits):
    with pytest.raises(ValueError, match="expected 0 < floor < ceiling"):
        estimate_f0(np.zeros(RATE), RATE, *limits)


@pytest.mark.parametrize(
    ("waveform", "rate", "message"),
    [
        (np.array([0.0, np.nan]), RATE, "NaN"),
        (np.zeros((2, 9000)), RATE, r"shape \(2, 9000\)"),
        (np.zeros(9000, dtype=np.int16), RATE, "int16"),
        (np.zeros(9000), 0, "sampling rate of 0 Hz"),
    ],
)
def test_waveforms_that_are_none_are_refused(waveform, rate, message):
    for track in (estimate_f0, estimate_f0_range):
        with pytest.raises(ValueError, match=f"^The F0 track got a .*{message}"):
            track(waveform, rate)
