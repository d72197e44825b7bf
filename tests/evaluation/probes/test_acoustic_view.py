import numpy as np
import pytest

from hf_rspin.evaluation.probes.acoustic_view import acoustic_view


@pytest.fixture
def speech():
    return np.random.default_rng(0).normal(0, 0.1, 8000).astype(np.float32)


def test_bands_do_not_depend_on_the_level_and_end_80_db_below_the_loudest(speech):
    bands = acoustic_view(speech, 24)
    assert bands.shape == (24, 80) and bands.dtype == np.float32
    np.testing.assert_allclose(acoustic_view(7 * speech, 24), bands, atol=1e-5)
    speech[4000:] = 0
    quiet = acoustic_view(speech, 24)
    assert quiet[-1].max() == quiet.min() and quiet.max() - quiet.min() < 1


def test_a_tone_is_in_one_band_and_higher_ones_are_further_up():
    times = np.arange(8000) / 16000
    best = [acoustic_view(np.sin(2 * np.pi * f * times), 20)[10].argmax() for f in (300, 1000, 4e3)]
    assert best == sorted(set(best)) and best[0] < 12 and best[2] > 50


def test_frames_are_means_of_spectra(speech):
    fine = acoustic_view(speech, 24)
    coarse = acoustic_view(speech, 12, factor=2)
    np.testing.assert_allclose(coarse, fine.reshape(12, 2, 80).mean(1), atol=1e-6)
    assert acoustic_view(speech, 30).shape == (30, 80)  # more frames than spectra: the last again


def test_silence_is_finite():
    assert np.isfinite(acoustic_view(np.zeros(4000, np.float32), 12)).all()


def test_values_of_a_chirp():
    """Of librosa 0.11 with the published settings."""
    times = np.arange(8000) / 16000
    bands = acoustic_view(np.sin(2 * np.pi * (200 + 3000 * times) * times), 24)
    np.testing.assert_allclose(bands[[2, 12, 22], [10, 40, 70]], CHIRP, atol=2e-5)


CHIRP = [1.0402551883418711, 1.0132350790642826, 0.22616273783199892]
