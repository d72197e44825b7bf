"""Codecs: the timing stays, the band is that of the line, anything is survived."""

import numpy as np
import pytest
import scipy.signal

from hf_rspin.views import TRANSFORMS, Codec, Equalizer, UtteranceInfo, measure_delays
from hf_rspin.views.codec import MP3_SETTINGS, TELEPHONE_SETTINGS

RATE = 16_000
CODECS = [(RATE, s) for s in MP3_SETTINGS] + [(8000, s) for s in TELEPHONE_SETTINGS]


def lag_of(reference, output, limit=1500):
    """Return the delay in samples at which the waveforms correlate best."""
    inner = reference[limit:-limit]
    products = scipy.signal.correlate(output, inner, mode="valid")  # (2 * limit + 1,)
    energies = scipy.signal.correlate(output.astype(np.float64) ** 2, np.ones(len(inner)), "valid")
    return int(np.argmax(products / np.sqrt(energies))) - limit


def band_power(waveform, low, high):
    power = np.abs(np.fft.rfft(waveform)) ** 2
    frequencies = np.fft.rfftfreq(len(waveform), 1 / RATE)
    return power[(frequencies >= low) & (frequencies < high)].sum()


def draws(name, waveform, count=6):
    transform, generator = TRANSFORMS[name](RATE), np.random.default_rng(0)
    for _ in range(count):
        parameters = transform.draw(generator, UtteranceInfo(len(waveform)))
        yield transform.apply(waveform, parameters)


@pytest.mark.parametrize(("rate", "setting"), CODECS)
@pytest.mark.parametrize("num_samples", [400, 401, 7777, 38_400])
def test_a_codec_keeps_length_and_timing(speech, rate, setting, num_samples):
    waveform = speech[-num_samples:]
    output = Codec([setting], rate).apply(waveform, setting)
    assert output.shape == waveform.shape and output.dtype == np.float32
    if num_samples > 5000:
        assert lag_of(waveform, output) == 0
        assert np.nanmax(np.abs(measure_delays(waveform, output, RATE))) <= 32
        assert 0.6 < np.corrcoef(waveform, output)[0, 1] < 0.999999


@pytest.mark.parametrize("name", ["band_limit", "clipping", "mp3", "telephone"])
def test_a_named_augmentation_keeps_the_timing_and_is_heard(speech, name):
    for output in draws(name, speech):
        assert output.shape == speech.shape and output.dtype == np.float32
        assert abs(lag_of(speech, output)) <= 4
    assert not np.array_equal(output, speech)


def test_a_telephone_carries_300_to_3400_hz():
    noise = 0.1 * np.random.default_rng(0).standard_normal(3 * RATE).astype(np.float32)
    for output in draws("telephone", noise):
        density = {
            band: band_power(output, *band) / band_power(noise, *band)
            for band in ((20, 120), (600, 2500), (4500, 8000))
        }
        assert 0.3 < density[600, 2500] < 1.5
        assert density[20, 120] < 0.05 * density[600, 2500]
        assert density[4500, 8000] < 1e-3 * density[600, 2500]


def test_a_band_limit_cuts_the_top():
    noise = 0.1 * np.random.default_rng(0).standard_normal(3 * RATE).astype(np.float32)
    for output in draws("band_limit", noise):
        assert band_power(output, 7500, 8000) < 0.05 * band_power(noise, 7500, 8000)
        assert band_power(output, 50, 1000) > 0.8 * band_power(noise, 50, 1000)


def test_settings_are_drawn_evenly():
    codec, generator = Codec(), np.random.default_rng(0)
    drawn = [codec.draw(generator, UtteranceInfo(1)) for _ in range(900)]
    assert all(250 < drawn.count(setting) < 350 for setting in MP3_SETTINGS)


@pytest.mark.parametrize("name", ["band_limit", "clipping", "mp3", "telephone"])
def test_silent_short_loud_and_shifted_waveforms_are_harmless(speech, name):
    for num_samples in (0, 1, 399):
        waveform = speech[:num_samples]
        assert all(output is waveform for output in draws(name, waveform, 2))
    for output in draws(name, np.zeros(5000, dtype=np.float32)):
        assert np.abs(output).max() < 1e-6
    quiet = [np.abs(output).max() for output in draws(name, speech)]
    loud = [np.abs(output).max() for output in draws(name, 30 * speech)]
    np.testing.assert_allclose(loud, 30 * np.array(quiet), rtol=0.25)  # not clipped at 1
    for output in draws(name, (speech + 0.5).astype(np.float32)):
        assert np.isfinite(output).all()


def test_every_name_gives_a_transform_that_works(speech):
    for name, factory in TRANSFORMS.items():
        transform = factory(RATE)
        parameters = transform.draw(np.random.default_rng(0), UtteranceInfo(len(speech)))
        assert transform.apply(speech, parameters).shape == speech.shape, name
        assert transform.sampling_rate == RATE and type(transform).__doc__
    assert TRANSFORMS["equalizer"] is Equalizer


def test_settings_that_cannot_be_encoded_are_refused_at_once():
    with pytest.raises(ValueError, match="no settings of a codec"):
        Codec([])
    with pytest.raises(ValueError, match="cannot encode .* at 100000 Hz .* use another codec_rate"):
        Codec(MP3_SETTINGS, codec_rate=100_000)
