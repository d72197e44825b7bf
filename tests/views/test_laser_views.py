import pickle

import numpy as np
import pytest

from hf_rspin.views import (
    LATER_SNRS_DB,
    LATER_SPEEDS,
    WAVLM_SPEEDS,
    LaserViews,
    ViewNoise,
    change_speed_and_pitch,
    estimate_f0,
    time_scale,
)

from .conftest import RATE, generators


def snr_db(clean, noisy):
    return 10 * np.log10(np.mean(clean**2.0) / np.mean((np.float64(noisy) - clean) ** 2))


@pytest.mark.parametrize("speed", [0.8, 0.9, 1.0, 1.1, 1.2])
@pytest.mark.parametrize("semitones", [-2.0, 0.0, 2.0])
@pytest.mark.parametrize("f0", [90.0, 150.0, 280.0])
def test_pitch_and_length_are_those_asked_for(vowel, speed, semitones, f0):
    waveform = vowel(f0, 1.2)
    changed = change_speed_and_pitch(waveform, RATE, speed, semitones)
    assert changed.dtype == np.float32 and len(changed) == round(len(waveform) / speed)
    expected = f0 * speed * 2 ** (semitones / 12)
    found = estimate_f0(changed, RATE, 0.6 * expected, 1.7 * expected).median
    assert found == pytest.approx(expected, rel=0.01)
    inner = slice(1600, -1600)  # no dropouts, no bursts: the level stays
    levels = [np.sqrt(np.mean(part[inner][:12000] ** 2.0)) for part in (waveform, changed)]
    assert levels[1] == pytest.approx(levels[0], rel=0.25)


def test_formants_move_with_the_pitch(vowel):
    def centroid(samples):
        power = np.abs(np.fft.rfft(samples[1600:9600] * np.hanning(8000))) ** 2
        return (np.fft.rfftfreq(8000, 1 / RATE) * power).sum() / power.sum()

    waveform = vowel(130.0)
    for semitones in (-2.0, 2.0):
        shifted = change_speed_and_pitch(waveform, RATE, 1.0, semitones)
        ratio = centroid(shifted) / centroid(waveform)
        assert ratio == pytest.approx(2 ** (semitones / 12), rel=0.05)


@pytest.mark.parametrize("stretch", [0.7, 0.89, 1.12, 1.5])
def test_time_scale_keeps_pitch_and_timing(vowel, stretch):
    waveform = vowel(140.0)
    scaled = time_scale(waveform, RATE, stretch)
    assert len(scaled) == round(len(waveform) * stretch)
    assert estimate_f0(scaled, RATE).median == pytest.approx(140.0, rel=0.01)
    half = waveform * (np.arange(len(waveform)) < len(waveform) // 2)
    loud = np.abs(time_scale(half, RATE, stretch)) > 0.01
    assert np.flatnonzero(loud)[-1] / len(scaled) == pytest.approx(0.5, abs=0.04)


@pytest.mark.parametrize("kind", ["silence", "noise", "click", "offset"])
@pytest.mark.parametrize("num_samples", [0, 1, 100, 400, 12_345])
def test_anything_is_changed_without_harm(kind, num_samples):
    waveform = {
        "silence": np.zeros(num_samples),
        "noise": 0.1 * np.random.default_rng(0).standard_normal(num_samples),
        "click": np.eye(1, num_samples, num_samples // 2)[0] if num_samples else np.zeros(0),
        "offset": np.full(num_samples, 0.3),
    }[kind]
    for speed, semitones in ((0.8, 2.0), (1.2, -2.0), (1.0, 2.0)):
        changed = change_speed_and_pitch(waveform, RATE, speed, semitones)
        assert len(changed) == round(num_samples / speed) and np.isfinite(changed).all()
        assert np.abs(changed).max(initial=0) <= 1.5 * np.abs(waveform).max(initial=0) + 1e-6
    if kind == "noise" and num_samples > 1000:
        assert changed.std() == pytest.approx(0.1, rel=0.2)


def test_nothing_asked_for_changes_nothing(speech):
    np.testing.assert_array_equal(change_speed_and_pitch(speech, RATE, 1.0, 0.0), speech)


def test_every_speed_and_both_shifts_are_drawn_evenly():
    views = LaserViews(WAVLM_SPEEDS)
    drawn = [views.draw(*generators(index=index), RATE).perturbed[0] for index in range(1400)]
    for speed in WAVLM_SPEEDS:
        assert 140 < sum(d.speed == speed for d in drawn) < 260
    assert {d.semitones for d in drawn} == {-2.0, 2.0}
    assert 600 < sum(d.semitones > 0 for d in drawn) < 800


def test_the_first_view_is_the_utterance_and_the_second_as_drawn(speech):
    views = LaserViews((0.8, 1.2))
    lengths = set()
    for index in range(6):
        pair = views(speech, generators(index=index))
        drawn = views.draw(*generators(index=index), len(speech)).perturbed[0]
        np.testing.assert_array_equal(pair.clean, speech)
        wanted = change_speed_and_pitch(speech, RATE, drawn.speed, drawn.semitones)
        np.testing.assert_array_equal(pair.perturbed, wanted)
        assert drawn.speed == views.draw_speed(generators(index=index)[1])
        assert pair.applied == ("speed_pitch",) and not pair.voice_skipped
        lengths.add(len(pair.perturbed))
    assert lengths == {round(len(speech) / speed) for speed in (0.8, 1.2)}


def test_views_depend_on_seed_epoch_index_and_view_alone(speech, bank):
    noise = ViewNoise(bank, snr_range_db=(-10.0, 10.0), both_views=True)
    views = LaserViews(noise=noise)
    copy = pickle.loads(pickle.dumps(views))
    for first, second in zip(
        views(speech, generators(1, 2)), copy(speech, generators(1, 2)), strict=True
    ):
        np.testing.assert_array_equal(first, second)
    first = views(speech, generators(0, 0)).clean
    for other in ((1, 0, 0), (0, 1, 0), (0, 0, 1)):
        assert not np.array_equal(first, views(speech, generators(*other)).clean)


def test_the_later_variant_has_noise_instead_of_the_shift(speech, bank):
    quiet = LaserViews(LATER_SPEEDS, semitones=0)
    noisy = LaserViews(LATER_SPEEDS, semitones=0, noise=ViewNoise(bank, snrs_db=LATER_SNRS_DB))
    found = set()
    for index in range(20):
        base, pair = (v(speech, generators(index=index)) for v in (quiet, noisy))
        np.testing.assert_array_equal(pair.clean, speech)
        found.add(round(float(snr_db(base.perturbed, pair.perturbed)), 2))
    assert found == {20.0, 10.0, 5.0}


def test_the_noise_of_rspin_goes_on_both_views(speech, bank):
    quiet = LaserViews()
    noisy = LaserViews(noise=ViewNoise(bank, snr_range_db=(-10.0, 10.0), both_views=True))
    ratios = []
    for index in range(20):
        base, pair = (v(speech, generators(index=index)) for v in (quiet, noisy))
        ratios.append([snr_db(b, p) for b, p in zip(base, pair, strict=True)])
    ratios = np.array(ratios)  # (pairs, views)
    assert (np.abs(ratios) < 10.1).all() and (ratios.std(axis=0) > 3).all()
    assert abs(np.corrcoef(ratios.T)[0, 1]) < 0.6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"speeds": ()}, r"speeds are \[\]; expected a list"),
        ({"speeds": (1.0, 0.0)}, r"speeds are \[1.0, 0.0\]; expected .* 0.5 to 2"),
        ({"speeds": 0.9}, r"speeds are 0.9; expected a list"),
        ({"speeds": "0.9"}, r"speeds are '0.9'; expected a list"),
        ({"semitones": -2.0}, r"semitones is -2.0; expected 0 \(none\) to 12"),
        ({"sampling_rate": 48_000}, "same rate"),
    ],
)
def test_settings_out_of_range_are_refused(bank, options, message):
    with pytest.raises(ValueError, match=message):
        LaserViews(**({"noise": ViewNoise(bank, snrs_db=[5.0])} | options))


def test_noise_without_one_kind_of_level_is_refused(bank):
    for levels in ({}, {"snrs_db": [5.0], "snr_range_db": (0.0, 5.0)}):
        with pytest.raises(ValueError, match="give either snrs_db"):
            ViewNoise(bank, **levels)
    for wrong in ([], 5.0, [float("nan")]):
        with pytest.raises(ValueError, match="expected finite numbers"):
            ViewNoise(bank, snrs_db=wrong)
    with pytest.raises(TypeError, match="got 'noises' as a noise bank"):
        ViewNoise("noises", snrs_db=[5.0])
    with pytest.raises(ValueError, match=r"expected \(least, greatest\)"):
        ViewNoise(bank, snr_range_db=(5.0, 0.0))
    for wrong in (0.1, 3.0):
        with pytest.raises(ValueError, match=f"stretch is {wrong}"):
            time_scale(np.zeros(10), RATE, wrong)


@pytest.mark.parametrize(
    "change",
    [lambda x: time_scale(x, RATE, 1.1), lambda x: change_speed_and_pitch(x, RATE, 1.1, 2.0)],
)
def test_waveforms_that_are_none_are_refused(change):
    for waveform, message in (
        (np.array([0.0, np.nan]), "NaN"),
        (np.zeros((2, 50)), r"shape \(2, 50\)"),
        (np.zeros(50, dtype=np.int16), "int16"),
    ):
        with pytest.raises(ValueError, match=f"change of duration got a waveform .*{message}"):
            change(waveform)
    for semitones in (-12.5, 40.0, float("nan")):
        with pytest.raises(ValueError, match=f"semitones is {semitones}; expected -12 to 12"):
            change_speed_and_pitch(np.zeros(50), RATE, 1.0, semitones)
    with pytest.raises(ValueError, match="sampling rate of 0 Hz"):
        time_scale(np.zeros(50), 0, 1.1)
