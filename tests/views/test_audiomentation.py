"""Transforms of audiomentations in a view: our draws, its sound, nobody else's generators."""

import pickle
import random
import time
from concurrent.futures import ThreadPoolExecutor

import audiomentations
import numpy as np
import pytest

from hf_rspin.seeding import example_generator
from hf_rspin.views import Audiomentation, ComposedViews, SpinViews, UtteranceInfo, measure_delays

RATE = 16_000


def generators(epoch=0, index=0):
    return tuple(example_generator(0, epoch, index, view) for view in range(2))


@pytest.fixture(scope="module")
def low_pass():
    return Audiomentation("LowPassFilter", zero_phase=True, p=0.7)


def test_it_is_the_library_s_transform_with_the_drawn_seed(speech):
    ours = Audiomentation(audiomentations.BitCrush(p=1.0))
    seed = ours.draw(np.random.default_rng(3), UtteranceInfo(len(speech)))
    output = ours.apply(speech, seed)
    random.seed(seed)
    np.random.seed(seed)
    np.testing.assert_array_equal(output, audiomentations.BitCrush(p=1.0)(speech, RATE))
    assert ours.name == "BitCrush" and not np.array_equal(output, speech)


def test_draws_depend_on_the_generators_of_the_view_alone(speech, low_pass):
    views = ComposedViews([low_pass], [low_pass])
    wanted = [views(speech, generators(index=index)) for index in range(8)]
    random.seed(99)
    np.random.seed(99)
    copy = pickle.loads(pickle.dumps(views))
    for index in reversed(range(8)):
        for first, second in zip(wanted[index], copy(speech, generators(index=index)), strict=True):
            np.testing.assert_array_equal(first, second)
    assert len({pair.perturbed.tobytes() for pair in wanted}) > 3
    assert any(pair.skipped == ("LowPassFilter",) for pair in wanted)  # its own p is 0.7
    assert any(not np.array_equal(*pair) for pair in wanted)


def test_the_global_generators_are_left_as_they_were(speech, low_pass):
    states = random.getstate(), np.random.get_state()[1].copy()
    low_pass.apply(speech, 7)
    Audiomentation("BitCrush", p=0.5)
    assert random.getstate() == states[0]
    np.testing.assert_array_equal(np.random.get_state()[1], states[1])
    broken = Audiomentation("Gain", p=1.0)
    broken.transform.apply = None
    with pytest.raises(TypeError):
        broken.apply(speech, 7)
    assert random.getstate() == states[0]


class SlowGain(audiomentations.Gain):
    """Draws, lets other threads run, and draws again."""

    def apply(self, samples, sample_rate):
        first = random.random()
        time.sleep(0.002)
        return (samples * np.float32(0.1 + first * random.random())).astype(np.float32)


def test_threads_do_not_disturb_each_other(speech):
    slow = Audiomentation(SlowGain(p=1.0))
    wanted = [slow.apply(speech, seed) for seed in range(24)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda seed: slow.apply(speech, seed), range(24)))
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("Shift", {}, "Shift moves sound in time"),
        ("Reverse", {}, "Reverse moves sound in time"),
        ("TimeStretch", {}, "TimeStretch moves sound in time"),
        ("TimeStretch", {"leave_length_unchanged": False}, r"TimeStretch made \(\d+,\)"),
        ("RepeatPart", {}, r"RepeatPart made .* expected the same length"),
        ("AdjustDuration", {"duration_seconds": 1.5}, "AdjustDuration made"),
    ],
)
def test_what_moves_sound_in_time_is_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        Audiomentation(name, p=1.0, **options)
    rarely = getattr(audiomentations, name)(p=0.3, **options)
    with pytest.raises(ValueError, match=message):
        SpinViews(augmentations=[rarely])


@pytest.mark.parametrize(
    "name",
    ["BandPassFilter", "HighPassFilter", "ClippingDistortion", "BitCrush", "Aliasing", "TimeMask",
     "Gain", "GainTransition", "PitchShift", "TanhDistortion", "AddGaussianSNR", "AddColorNoise",
     "SevenBandParametricEQ", "PolarityInversion", "Normalize"],
)  # fmt: skip
def test_what_keeps_the_timing_is_taken(name, speech):
    transform = Audiomentation(name, p=1.0)
    pair = ComposedViews([], [transform])(speech, generators())
    assert pair.perturbed.shape == speech.shape and pair.perturbed.dtype == np.float32
    assert pair.applied == (name,)


@pytest.mark.parametrize("delay", [-3200, -400, 0, 400, 3200])
def test_a_delay_is_measured(speech, delay):
    found = measure_delays(speech, np.roll(speech, delay), RATE)
    inner = found[1:3]  # the ends come from the other end
    np.testing.assert_allclose(inner[~np.isnan(inner)], delay, atol=32)
    assert (~np.isnan(inner)).any()


def test_silent_short_and_empty_waveforms_are_harmless(low_pass):
    for num_samples in (0, 1, 399, 400, 5000):
        for waveform in (np.zeros(num_samples), np.ones(num_samples), -np.ones(num_samples)):
            waveform = waveform.astype(np.float32)
            output = low_pass.apply(waveform, 3)
            assert output.shape == waveform.shape and np.isfinite(output).all()
            assert num_samples >= 400 or output is waveform


class Lacking(audiomentations.Gain):
    """A transform whose package is missing, as `Limiter` without the extras."""

    def apply(self, samples, sample_rate):
        raise ModuleNotFoundError("No module named 'nothing_there'", name="nothing_there")


def test_wrong_settings_are_refused():
    with pytest.raises(ValueError, match="'LowPas', expected a class of audiomentations"):
        Audiomentation("LowPas")
    with pytest.raises(ValueError, match=r"options \['p'\] of an object"):
        Audiomentation(audiomentations.Gain(), p=1.0)
    with pytest.raises(ValueError, match="Lacking needs nothing_there: pip install"):
        Audiomentation(Lacking(p=1.0))
    frozen = audiomentations.Gain(p=1.0)
    frozen.freeze_parameters()
    with pytest.raises(ValueError, match="Gain with frozen parameters"):
        Audiomentation(frozen)
