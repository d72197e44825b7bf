import pickle
from pathlib import Path

import numpy as np
import pytest

from hf_rspin.views import (
    WAVLM_SPEEDS,
    AddNoise,
    Chain,
    Clip,
    ComposedViews,
    Equalizer,
    LaserViews,
    NoiseBank,
    RSpinViews,
    Sometimes,
    SpeakerPerturbation,
    SpeedPitch,
    SpinViews,
    augmentation_list,
    build_views,
    parametric_equalizer,
    shift_voice,
)

from .conftest import RATE, generators


def test_spin_leaves_the_first_view_and_changes_the_second(speech):
    pair = SpinViews()(speech, generators())
    clean, perturbed = pair
    np.testing.assert_array_equal(clean, speech)
    assert clean is not speech and perturbed.shape == speech.shape
    assert pair.voice_changed and not pair.voice_skipped
    assert np.abs(perturbed).max() <= 1.0
    assert np.corrcoef(clean, perturbed)[0, 1] < 0.9


def test_what_is_drawn_is_what_is_applied(speech):
    views = SpinViews()
    drawn = views.draw(*generators(), len(speech))
    (voice, _), equalizer, _ = drawn.perturbed
    voiced = shift_voice(speech, RATE, *vars(voice).values())
    expected = parametric_equalizer(voiced, RATE, equalizer.gains_db, equalizer.q)
    np.testing.assert_array_equal(
        views.apply(speech, drawn).perturbed, np.clip(expected, -1, 1)
    )


def test_the_second_view_is_clipped_before_the_noise(speech):
    loud = speech / np.abs(speech).max()
    peaks = [np.abs(SpinViews()(loud, generators(index=i)).perturbed).max() for i in range(6)]
    assert max(peaks) == 1.0


def test_views_depend_on_seed_epoch_index_and_view_alone(speech, bank):
    views = RSpinViews(bank)
    copy = pickle.loads(pickle.dumps(views))
    for epoch, index in ((0, 0), (0, 1), (1, 0)):
        for first, second in zip(
            views(speech, generators(epoch, index)),
            copy(speech, generators(epoch, index)),
            strict=True,
        ):
            np.testing.assert_array_equal(first, second)
    first = views(speech, generators(0, 0)).perturbed
    for other in ((1, 0, 0), (0, 1, 0), (0, 0, 1)):
        assert not np.array_equal(first, views(speech, generators(*other)).perturbed)


def test_rspin_adds_independent_noise_in_range_to_both(speech, bank):
    quiet = RSpinViews(None, perturb_speaker=False, equalize=False)
    noisy = RSpinViews(bank, perturb_speaker=False, equalize=False)
    ratios, correlations = [], []
    for index in range(40):
        base = quiet(speech, generators(index=index))
        pair = noisy(speech, generators(index=index))
        added = [np.float64(n) - b for n, b in zip(pair, base, strict=True)]
        ratios += [10 * np.log10(np.mean(speech**2) / np.mean(a**2)) for a in added]
        correlations.append(abs(np.corrcoef(*added)[0, 1]))
    assert -10.01 < min(ratios) < -8 and 8 < max(ratios) < 10.01
    assert np.median(correlations) < 0.05
    assert np.std(np.subtract(ratios[::2], ratios[1::2])) > 3


def test_a_share_of_the_views_stays_without_noise(speech, bank):
    every = {"perturb_speaker": False, "equalize": False}
    always, sometimes = (RSpinViews(bank, noise_probability=p, **every) for p in (1.0, 0.5))
    silent = np.zeros(2)
    for index in range(60):
        pair = sometimes(speech, generators(index=index))
        silent += [np.array_equal(view, speech) for view in pair]
        noisy = always(speech, generators(index=index))
        assert not any(np.array_equal(view, speech) for view in noisy)
    assert (15 <= silent).all() and (silent <= 45).all()  # of each view, by its own draw
    never = RSpinViews(bank, noise_probability=0.0, **every)
    assert all(np.array_equal(view, speech) for view in never(speech, generators()))
    with pytest.raises(ValueError, match=r"probability 1\.5 of noise, expected 0 to 1"):
        RSpinViews(bank, noise_probability=1.5)


def test_parts_are_switched_off_without_moving_the_others(speech, bank):
    voice, equalizer, _, noise = RSpinViews(bank).draw(*generators(), len(speech)).perturbed
    channel = RSpinViews(bank, perturb_speaker=False).draw(*generators(), len(speech)).perturbed
    speaker = SpinViews(equalize=False).draw(*generators(), len(speech))
    assert channel[0] is None and speaker.perturbed[1] is None and speaker.clean == ()
    assert speaker.perturbed[0] == voice
    np.testing.assert_array_equal(channel[1].gains_db, equalizer.gains_db)
    np.testing.assert_array_equal(channel[3].noise, noise.noise)
    nothing = SpinViews(perturb_speaker=False, equalize=False)(speech, generators())
    np.testing.assert_array_equal(nothing.perturbed, speech)
    assert nothing.perturbed is not nothing.clean
    assert not nothing.voice_changed and not nothing.voice_skipped


def test_pitch_changes_alone_where_formants_are_to_stay(speech):
    both, alone = (SpinViews(equalize=False, perturb_formants=f) for f in (True, False))
    (before, _), (after, _) = (
        views.draw(*generators(), len(speech)).perturbed[0] for views in (both, alone)
    )
    assert before.formant_ratio != 1 and after.formant_ratio == 1
    assert (before.pitch_ratio, before.pitch_range_ratio) == (
        after.pitch_ratio, after.pitch_range_ratio,
    )  # fmt: skip
    sound = [views(speech, generators()).perturbed for views in (both, alone)]
    assert not np.allclose(*sound) and not np.allclose(sound[1], speech)


@pytest.mark.parametrize("num_samples", [0, 200, 1600, RATE])
def test_a_skipped_voice_is_reported_and_the_equaliser_still_applies(bank, num_samples):
    hiss = 0.01 * np.random.default_rng(4).standard_normal(num_samples).astype(np.float32)
    pair = SpinViews()(hiss, generators())
    assert pair.voice_skipped and not pair.voice_changed
    assert pair.perturbed.shape == hiss.shape
    assert num_samples == 0 or not np.allclose(pair.perturbed, hiss)
    silent = RSpinViews(bank)(np.zeros(num_samples), generators())
    assert silent.voice_skipped
    np.testing.assert_array_equal(silent.clean, np.zeros(num_samples))
    np.testing.assert_array_equal(silent.perturbed, np.zeros(num_samples))


def test_settings_that_do_not_fit_are_refused(bank):
    with pytest.raises(ValueError, match="snr_range_db"):
        RSpinViews(bank, (10.0, -10.0))
    with pytest.raises(ValueError, match="same rate"):
        RSpinViews(bank, sampling_rate=48_000)


# ---- what a seed gave in version 0.1.0, which a resumed run relies on

RECORDED = np.load(Path(__file__).parent / "data" / "presets_0_1_0.npz")
KEYS = [(0, 0), (0, 1), (1, 0), (3, 7)]  # (epoch, index)


@pytest.fixture(scope="module")
def recorded_bank():
    return NoiseBank(list(np.random.default_rng(0).standard_normal((3, RATE)).astype(np.float32)))


@pytest.mark.parametrize(("epoch", "index"), KEYS)
def test_the_draws_of_a_key_are_those_of_version_0_1(speech, recorded_bank, epoch, index):
    key, length = f"{epoch}.{index}/", len(speech)
    views = RSpinViews(recorded_bank)
    drawn = views.draw(*generators(epoch, index, seed=5), length)
    (voice, _), equalizer, _, noise = drawn.perturbed
    (clean_noise,) = drawn.clean
    np.testing.assert_array_equal(list(vars(voice).values()), RECORDED[key + "voice"])
    np.testing.assert_array_equal(equalizer.gains_db, RECORDED[key + "gains_db"])
    np.testing.assert_allclose(equalizer.q, RECORDED[key + "q"], rtol=1e-14)
    snrs = [clean_noise.snr_db, noise.snr_db]
    np.testing.assert_array_equal(snrs, RECORDED[key + "snrs_db"])
    noises = np.stack([clean_noise.noise, noise.noise])[:, ::2000]
    np.testing.assert_array_equal(noises, RECORDED[key + "noises"])
    noise = AddNoise(recorded_bank, snr_range_db=(-10.0, 10.0), both_views=True)
    drawn = LaserViews(WAVLM_SPEEDS, noise=noise).draw(*generators(epoch, index, seed=5), length)
    speed, noise = drawn.perturbed
    np.testing.assert_array_equal(list(vars(speed).values()), RECORDED[key + "speed_semitones"])
    snrs = [drawn.clean[0].snr_db, noise.snr_db]
    np.testing.assert_array_equal(snrs, RECORDED[key + "laser_snrs_db"])


@pytest.mark.parametrize(("epoch", "index"), KEYS)
def test_the_views_of_a_key_are_those_of_version_0_1(speech, epoch, index):
    for name, views in {"spin": SpinViews(), "laser": LaserViews(WAVLM_SPEEDS)}.items():
        pair = views(speech, generators(epoch, index, seed=5))
        expected = RECORDED[f"{epoch}.{index}/{name}"]
        np.testing.assert_allclose(pair.perturbed[::40], expected, atol=1e-4)


# ---- keys, augmentations, and views by name


def test_the_noise_of_each_view_comes_from_its_own_key(speech, bank):
    views = RSpinViews(bank, perturb_speaker=False, equalize=False)
    noises = {
        key: [np.float64(view) - speech for view in views(speech, generators(*key))]
        for key in ((0, 0), (1, 0), (0, 1), (0, 0, 1))
    }
    every = [noise for pair in noises.values() for noise in pair]
    correlations = np.abs(np.corrcoef(every)) - np.eye(len(every))
    assert correlations.max() < 0.1  # a constant seed of a view would give 1
    # and one view's key does not reach the other
    clean, perturbed = generators()
    same = views.draw(clean, generators(1, 0)[1], len(speech))
    np.testing.assert_array_equal(
        same.clean[0].noise, views.draw(*generators(), len(speech)).clean[0].noise
    )


@pytest.mark.parametrize("preset", ["spin", "rspin", "laser"])
def test_augmentations_come_last_and_move_no_other_draw(speech, bank, preset):
    options = {"noise_bank": bank if preset == "rspin" else None}
    plain = build_views(preset, **options)
    more = build_views(
        preset, augmentations=["telephone", "mp3"], augmentation_probability=1.0, **options
    )
    drawn = [views.draw(*generators(), len(speech)).perturbed for views in (plain, more)]
    before, after = drawn[0], drawn[1][: len(drawn[0])]
    assert len(drawn[1]) == len(before) + 2
    for first, second in zip(before, after, strict=True):
        for name in getattr(first, "__dict__", {}):
            np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    pairs = [views(speech, generators()) for views in (plain, more)]
    np.testing.assert_array_equal(pairs[0].clean, pairs[1].clean)
    assert pairs[1].applied == (*pairs[0].applied, "telephone", "mp3")
    assert pairs[0].perturbed.shape == pairs[1].perturbed.shape
    assert not np.array_equal(pairs[0].perturbed, pairs[1].perturbed)


def late(waveform, parameters):
    return np.concatenate([np.zeros(800, dtype=np.float32), waveform[:-800]])


def test_augmentations_that_move_sound_in_time_are_refused(bank):
    delay = Clip()
    delay.apply, delay.name = late, "delay"
    for wrong, message in (
        (SpeedPitch((0.9,)), "speed_pitch, which changes the timing"),
        (Chain([Clip(), Sometimes(SpeedPitch(), 0.1)]), "chain, which changes the timing"),
        (delay, r"delay moves sound in time \(delays of .*'800.0'"),
    ):
        with pytest.raises(ValueError, match=message):
            RSpinViews(bank, augmentations=[wrong])
    assert RSpinViews(bank, augmentations=["clipping", AddNoise(bank, [0.0])]).keeps_timing
    assert not LaserViews().keeps_timing and not LaserViews().first_view_varies
    assert LaserViews(noise=AddNoise(bank, [0.0], both_views=True)).first_view_varies
    assert RSpinViews(bank).first_view_varies and not SpinViews().first_view_varies


def test_augmentations_on_both_views_are_drawn_independently(speech):
    views = build_views("spin", augmentations=["mp3"], augment_both_views=True)
    both = [views.draw(*generators(index=index), len(speech)) for index in range(400)]
    applied = np.array([[d.clean[-1] is not None, d.perturbed[-1] is not None] for d in both])
    assert (np.abs(applied.mean(axis=0) - 0.5) < 0.08).all()
    assert abs(np.corrcoef(applied.T)[0, 1]) < 0.15
    copy = pickle.loads(pickle.dumps(views))
    for first, second in zip(
        views(speech, generators(2, 3)), copy(speech, generators(2, 3)), strict=True
    ):
        np.testing.assert_array_equal(first, second)


def test_views_are_built_by_name_and_from_lists(speech, bank):
    assert type(build_views("spin", equalize=False)) is SpinViews
    rspin = build_views("rspin", bank, snr_range_db=(0.0, 5.0))
    assert type(rspin) is RSpinViews and rspin.snr_range_db == (0.0, 5.0)
    laser = build_views("laser", bank, speeds=[0.9, 1.1], snrs_db=[5.0], both_views=True)
    assert laser.speeds == (0.9, 1.1) and laser.noise.both_views
    listed = build_views(
        ["speaker_perturbation", Equalizer(), "clip", "noise"], bank, clean=["noise"]
    )
    for first, second in zip(
        listed(speech, generators()), RSpinViews(bank)(speech, generators()), strict=True
    ):
        np.testing.assert_array_equal(first, second)
    by_hand = ComposedViews([], [SpeakerPerturbation()])
    np.testing.assert_array_equal(
        by_hand(speech, generators()).perturbed,
        build_views(["speaker_perturbation"])(speech, generators()).perturbed,
    )


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda bank: build_views("rspinn"), "views 'rspinn', expected one of spin, rspin, laser"),
        (lambda bank: build_views(["telefone"]), "'telefone', expected one of .*telephone"),
        (lambda bank: build_views(["noise"]), "'noise' without a noise bank"),
        (lambda bank: build_views("spin", bank), "a noise bank for 'spin'"),
        (lambda bank: build_views("spin", clean=["clip"]), "with the preset 'spin'"),
        (lambda bank: build_views(["clip"], equalize=False), r"\['equalize'\] with a list"),
        (lambda bank: build_views("rspin", augmentations="mp3"), "expected a list of names"),
        (lambda bank: augmentation_list(["mp3"], probability=2.0), "of mp3, expected 0 to 1"),
        (lambda bank: build_views("rspin", bank, sampling_rate=48_000), "same rate"),
        (lambda bank: RSpinViews(bank, (5.0, float("nan"))), "finite numbers of dB"),
    ],
)
def test_views_that_cannot_be_built_say_why(bank, build, message):
    with pytest.raises(ValueError, match=message):
        build(bank)
    with pytest.raises(TypeError, match="expected a Transform, a name such as 'telephone'"):
        build_views([np.clip])
