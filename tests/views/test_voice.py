import numpy as np
import pytest

from hf_rspin.evaluation.voices import envelope_ratio, log_envelope
from hf_rspin.views import (
    SpeakerParameters,
    draw_speaker,
    perturb_speaker,
    shift_voice,
)

RATE = 16_000


def autocorrelation_f0(waveform, low, high):
    """F0 of each 60 ms frame by the first high peak of a plain autocorrelation, in Hz."""
    length, found = int(0.06 * RATE), []
    for start in range(RATE // 10, len(waveform) - RATE // 10 - length, length):
        frame = waveform[start : start + length].astype(np.float64)
        frame = frame - frame.mean()
        correlation = np.correlate(frame, frame, "full")[length - 1 :]
        correlation /= length - np.arange(length)
        first, last = int(RATE / high), int(RATE / low)
        inner = correlation[first - 1 : last + 1]
        is_peak = (inner[1:-1] > inner[:-2]) & (inner[1:-1] >= inner[2:])
        lag = first + int(np.argmax(is_peak & (inner[1:-1] > 0.9 * inner.max())))
        a, b, c = correlation[lag - 1 : lag + 2]
        found.append(RATE / (lag + 0.5 * (c - a) / (2 * b - a - c)))
    return np.array(found)


def envelope_shift(before, after):
    return envelope_ratio(*(log_envelope(waveform, RATE) for waveform in (before, after)))


@pytest.mark.parametrize("f0", [100.0, 210.0, 430.0])
@pytest.mark.parametrize("pitch_ratio", [0.5, 0.8, 1.3, 2.0])
@pytest.mark.parametrize("formant_ratio", [1 / 1.4, 1.4])
def test_the_new_f0_is_the_requested_one(vowel, f0, pitch_ratio, formant_ratio):
    changed = shift_voice(vowel(f0), RATE, formant_ratio, pitch_ratio, 1.0)
    wanted = f0 * pitch_ratio
    measured = autocorrelation_f0(changed, 0.7 * wanted, 1.4 * wanted)
    np.testing.assert_allclose(np.median(measured), wanted, rtol=0.01)
    np.testing.assert_allclose(measured, wanted, rtol=0.05)


@pytest.mark.parametrize("range_ratio", [1 / 1.5, 1.0, 1.5])
def test_the_contour_widens_around_its_median(vowel, range_ratio):
    glide = np.linspace(150.0, 250.0, 2 * RATE)
    changed = shift_voice(vowel(glide, 2.0), RATE, 1.0, 0.8, range_ratio)
    times = np.array([np.linspace(150, 250, 20)[3], np.linspace(150, 250, 20)[16]])
    measured = autocorrelation_f0(changed, 60, 400)
    wanted = 160.0 + 0.8 * (times - 200.0) * range_ratio
    count = len(measured)
    places = (times - 150.0) / 100.0 * 2.0  # seconds
    centres = 0.1 + 0.06 * (np.arange(count) + 0.5)
    np.testing.assert_allclose(np.interp(places, centres, measured), wanted, rtol=0.02)


@pytest.mark.parametrize("formant_ratio", [1 / 1.4, 1 / 1.2, 1.0, 1.2, 1.4])
@pytest.mark.parametrize("pitch_ratio", [0.7, 1.0, 1.4])
def test_the_formants_move_by_the_ratio_alone(vowel, formant_ratio, pitch_ratio):
    original = vowel(110.0)
    changed = shift_voice(original, RATE, formant_ratio, pitch_ratio, 1.0)
    assert envelope_shift(original, changed) == pytest.approx(formant_ratio, rel=0.05)


def test_ratios_of_one_keep_the_waveform(speech):
    changed = shift_voice(speech, RATE, 1.0, 1.0, 1.0)
    assert np.corrcoef(changed, speech)[0, 1] > 0.97


def test_timing_is_kept(speech):
    changed = shift_voice(speech, RATE, 1.3, 1.7, 1.2)
    levels = [np.sqrt((w.reshape(-1, 320) ** 2).mean(axis=1)) for w in (speech, changed)]
    assert np.corrcoef(*levels)[0, 1] > 0.97
    centred = [level - level.mean() for level in levels]
    assert np.argmax(np.correlate(*centred, "full")) == len(levels[0]) - 1


@pytest.mark.parametrize("seed", range(8))
def test_no_clicks_and_no_overshoot(speech, seed):
    parameters = draw_speaker(np.random.default_rng(seed))
    result = perturb_speaker(speech, RATE, parameters)
    assert result.changed
    steepest = np.abs(np.diff(speech)).max() * max(1.0, parameters.formant_ratio)
    assert np.abs(np.diff(result.waveform)).max() < 1.2 * steepest
    assert np.abs(result.waveform).max() < 1.2 * np.abs(speech).max()


def test_odd_inputs_come_back_whole(speech, vowel):
    generator = np.random.default_rng(2)
    cases = {
        "silence": (np.zeros(RATE), False),
        "constant": (np.full(RATE, 0.7), False),
        "noise": (0.1 * generator.standard_normal(RATE), False),
        "empty": (np.zeros(0), False),
        "one sample": (np.ones(1), False),
        "20 ms": (vowel(200.0)[:320], False),
        "100 ms": (vowel(200.0)[4000:5600], True),
        "clipped": (np.clip(20 * speech, -1, 1), True),
        "offset": (speech + 0.5, True),
        "60 s": (np.resize(speech, 60 * RATE), True),
        "tiny": (1e-5 * speech, True),
        "odd length": (speech[:12345], True),
    }
    for name, (waveform, changed) in cases.items():
        waveform = waveform.astype(np.float32)
        before = waveform.copy()
        for ratios in ((1.4, 2.0, 1.5), (1 / 1.4, 0.5, 1 / 1.5)):
            result = perturb_speaker(waveform, RATE, SpeakerParameters(*ratios))
            assert result.changed is changed, name
            assert result.waveform.shape == waveform.shape, name
            assert result.waveform.dtype == np.float32, name
            assert np.isfinite(result.waveform).all(), name
            np.testing.assert_array_equal(waveform, before, err_msg=name)
            if not changed:
                np.testing.assert_array_equal(result.waveform, waveform, err_msg=name)


def test_a_constant_offset_stays_an_offset(speech):
    plain = shift_voice(speech, RATE, 1.2, 0.6, 1.0)
    offset = shift_voice(speech + np.float32(0.25), RATE, 1.2, 0.6, 1.0)
    np.testing.assert_allclose(offset - 0.25, plain, atol=1e-3)


def test_a_given_range_is_used(vowel):
    waveform, parameters = vowel(200.0), SpeakerParameters(1.0, 1.2, 1.0)
    above = perturb_speaker(waveform, RATE, parameters, f0_range=(150, 300))
    assert above.median_f0 == pytest.approx(200, rel=0.01)
    assert perturb_speaker(waveform, RATE, parameters, f0_range=(75, 120)).median_f0 < 120


def test_draws_cover_their_ranges_and_are_inverted_half_the_time():
    generator = np.random.default_rng(3)
    drawn = np.array([list(vars(draw_speaker(generator)).values()) for _ in range(4000)])
    for column, limit in zip(drawn.T, (1.4, 2.0, 1.5), strict=True):
        assert 1 / limit <= column.min() < 1.02 / limit and 0.98 * limit < column.max() <= limit
        assert 0.46 < (column < 1).mean() < 0.54
        above = column[column > 1]
        assert above.mean() == pytest.approx((1 + limit) / 2, rel=0.02)
    assert np.abs(np.corrcoef(np.log(drawn).T) - np.eye(3)).max() < 0.06


@pytest.mark.parametrize(
    ("waveform", "ratios", "message"),
    [
        (np.zeros((2, 100)), (1.0, 1.0, 1.0), r"shape \(2, 100\)"),
        (np.array([0.0, np.nan]), (1.0, 1.0, 1.0), "NaN"),
        (np.zeros(100), (1.0, 0.0, 1.0), "pitch_ratio=0.0"),
        (np.zeros(100), (float("nan"), 1.0, 1.0), "formant_ratio=nan"),
    ],
)
def test_wrong_input_is_refused(waveform, ratios, message):
    with pytest.raises(ValueError, match=message):
        shift_voice(waveform, RATE, *ratios)
