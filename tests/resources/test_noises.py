"""Synthesised noises: measured, not listened to."""

import numpy as np
import pytest

from hf_rspin.audio import read_audio
from hf_rspin.resources import SEEN_NOISES, UNSEEN_NOISES, sample_noises
from hf_rspin.resources.noises import training_noises
from hf_rspin.training.view_arguments import ViewArguments


@pytest.fixture(scope="module")
def noises():
    both = [sample_noises(condition, seconds=4.0) for condition in ("seen", "unseen")]
    return {name: noise for noises in both for name, noise in noises.items()}


def test_noises_have_length_level_and_type(noises):
    for noise in noises.values():
        assert noise.shape == (64_000,)
        assert noise.dtype == np.float32
        assert np.sqrt(np.mean(noise**2)) == pytest.approx(0.05, rel=1e-3)


def test_no_kind_is_both_seen_and_unseen(noises):
    assert not set(SEEN_NOISES) & set(UNSEEN_NOISES)
    assert len(noises) == 2 * (len(SEEN_NOISES) + len(UNSEEN_NOISES))


def test_a_seed_gives_the_same_noise_and_another_seed_another():
    first, again = (sample_noises("seen", seed=3, takes=1, seconds=1.0) for _ in range(2))
    other = sample_noises("seen", seed=4, takes=1, seconds=1.0)
    for name in first:
        assert np.array_equal(first[name], again[name])
        assert abs(np.corrcoef(first[name], other[name])[0, 1]) < 0.5


def test_takes_differ(noises):
    for kind in [*SEEN_NOISES, *UNSEEN_NOISES]:
        assert not np.allclose(noises[f"{kind}-0"], noises[f"{kind}-1"])


def test_tones_are_tonal_and_blows_are_impulsive(noises):
    assert peak_share(noises["alarm-0"]) > 5 * peak_share(noises["rain-0"])
    assert crest(noises["hammer-0"]) > 2 * crest(noises["fan-0"])


def test_wind_lies_lower_than_rain(noises):
    assert centroid(noises["wind-0"]) < 0.5 * centroid(noises["rain-0"])


def test_gusts_swell_and_a_fan_does_not(noises):
    assert swell(noises["wind-0"]) > 3 * swell(noises["fan-0"])


def test_an_unknown_condition_is_refused():
    with pytest.raises(ValueError, match="'heard', expected one of"):
        sample_noises("heard")


def power_spectra(noise: np.ndarray) -> np.ndarray:
    """Power of windows of 64 ms: (windows, bins)."""
    windows = noise[: len(noise) // 1024 * 1024].reshape(-1, 1024)
    return np.abs(np.fft.rfft(windows * np.hanning(1024))) ** 2


def peak_share(noise: np.ndarray) -> float:
    """Share of the strongest bin in the power above 500 Hz, over windows."""
    spectra = power_spectra(noise)[:, 32:]
    return float(np.median(spectra.max(1) / spectra.sum(1)))


def centroid(noise: np.ndarray) -> float:
    """Centre of gravity of the amplitude spectrum in Hz."""
    amplitude = np.sqrt(power_spectra(noise).mean(0))
    return float((amplitude * np.fft.rfftfreq(1024, 1 / 16_000)).sum() / amplitude.sum())


def crest(noise: np.ndarray) -> float:
    """Largest sample over root mean square."""
    return float(np.abs(noise).max() / np.sqrt(np.mean(noise**2)))


def swell(noise: np.ndarray) -> float:
    """Spread of the level over windows of 64 ms above 500 Hz, relative to its mean."""
    level = np.sqrt(power_spectra(noise)[:, 32:].sum(1))
    return float(level.std() / level.mean())


@pytest.mark.parametrize("options", [{"takes": 0}, {"seconds": 0.0}, {"seconds": float("nan")}])
def test_noises_of_no_takes_or_no_length_are_refused(options):
    with pytest.raises(ValueError, match="expected 1 or more of 0.1 s or more"):
        sample_noises("seen", **options)


def test_training_takes_synthetic_noise_in_place_of_recordings():
    rows = training_noises(takes=1, seconds=0.5)
    assert {row["id"][:-2] for row in rows} == set(SEEN_NOISES)
    tested = sample_noises("seen", seed=2, takes=1).values()  # of conditions of an evaluation
    views = ViewArguments(noise="synthetic", noise_split="auto")
    noise = views.load_noise()
    assert len(noise) == 20 * len(SEEN_NOISES) and views.noise_split is None
    bank = views.bank(noise)
    drawn = bank.draw(np.random.default_rng(0), 16000)
    assert len(drawn) == 16000 and np.std(drawn) > 0
    heard = read_audio(noise[0]["audio"])
    assert not any(np.allclose(heard, one, atol=1e-3) for one in tested)  # other takes than a test
