import pickle

import numpy as np
import pytest

from hf_rspin.seeding import example_generator
from hf_rspin.views import NoiseBank, RSpinViews, SpinViews, parametric_equalizer, shift_voice

RATE = 16_000


@pytest.fixture(scope="module")
def bank():
    generator = np.random.default_rng(0)
    return NoiseBank([generator.standard_normal(RATE) for _ in range(3)])


def generators(epoch=0, index=0, seed=0):
    return tuple(example_generator(seed, epoch, index, view) for view in range(2))


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
    quiet = RSpinViews(None, change_voice=False, equalize=False)
    noisy = RSpinViews(bank, change_voice=False, equalize=False)
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


def test_parts_are_switched_off_without_moving_the_others(speech, bank):
    voice, equalizer, _, noise = RSpinViews(bank).draw(*generators(), len(speech)).perturbed
    channel = RSpinViews(bank, change_voice=False).draw(*generators(), len(speech)).perturbed
    speaker = SpinViews(equalize=False).draw(*generators(), len(speech))
    assert channel[0] is None and speaker.perturbed[1] is None and speaker.clean == ()
    assert speaker.perturbed[0] == voice
    np.testing.assert_array_equal(channel[1].gains_db, equalizer.gains_db)
    np.testing.assert_array_equal(channel[3].noise, noise.noise)
    nothing = SpinViews(change_voice=False, equalize=False)(speech, generators())
    np.testing.assert_array_equal(nothing.perturbed, speech)
    assert nothing.perturbed is not nothing.clean
    assert not nothing.voice_changed and not nothing.voice_skipped


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
