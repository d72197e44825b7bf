"""Lists of transforms: order of draws, lengths, promises kept, bad input."""

import pickle

import numpy as np
import pytest

from hf_rspin.seeding import example_generator
from hf_rspin.views import (
    Chain,
    Clip,
    ComposedViews,
    DrawOnly,
    Equalizer,
    Sometimes,
    SpeedPitch,
    Transform,
    UtteranceInfo,
    check_waveform,
)

RATE = 16_000


class Gain(Transform):
    """Multiplies by a number that it draws; remembers nothing."""

    name = "gain"

    def draw(self, generator, utterance):
        return np.float32(generator.uniform(1.0, 2.0))

    def apply(self, waveform, parameters):
        return waveform * parameters


class Told(Transform):
    """Returns what it was told when it drew."""

    name = "told"

    def draw(self, generator, utterance):
        return utterance

    def apply(self, waveform, parameters):
        return waveform


def generators(epoch=0, index=0):
    return tuple(example_generator(0, epoch, index, view) for view in range(2))


def noise(num_samples=4000):
    return 0.1 * np.random.default_rng(0).standard_normal(num_samples).astype(np.float32)


def test_transforms_are_drawn_and_applied_in_their_order():
    chain, generator = Chain([Gain(), Clip(), Gain()]), np.random.default_rng(1)
    first, _, second = chain.draw(np.random.default_rng(1), UtteranceInfo(10))
    assert (first, second) == tuple(np.float32(generator.uniform(1.0, 2.0)) for _ in range(2))
    waveform = np.array([0.4, 0.9, -0.9], dtype=np.float32)
    expected = np.clip(waveform * first, -1, 1) * second
    np.testing.assert_array_equal(chain.apply(waveform, (first, (), second)), expected)


def test_a_transform_is_told_the_length_that_reaches_it():
    chain = Chain([Told(), SpeedPitch((0.8,), 0.0), Told(), Chain([SpeedPitch((2.0,)), Told()])])
    first, _, second, (_, third) = chain.draw(
        np.random.default_rng(0), UtteranceInfo(1000, "a", (80.0, 300.0))
    )
    assert first == UtteranceInfo(1000, "a", (80.0, 300.0))
    assert (second.num_samples, third.num_samples) == (1250, 625)
    assert (third.name, third.f0_range) == ("a", (80.0, 300.0))


def test_what_is_switched_off_still_draws_and_what_is_left_out_is_not_applied():
    on, off = (
        Chain([first, Gain()]).draw(np.random.default_rng(3), UtteranceInfo(10))
        for first in (Gain(), DrawOnly(Gain()))
    )
    assert off[0] is None and off[1] == on[1]
    drawn = [Sometimes(Gain(), 0.3).draw(np.random.default_rng(s), None) for s in range(1000)]
    assert np.mean([d is not None for d in drawn]) == pytest.approx(0.3, abs=0.04)
    for probability in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="of gain, expected 0 to 1"):
            Sometimes(Gain(), probability)


def test_views_own_their_samples_and_name_what_changed_them():
    waveform = noise()
    before = waveform.copy()
    pair = ComposedViews([], [])(waveform, generators())
    for view in pair:
        np.testing.assert_array_equal(view, waveform)
        assert not np.shares_memory(view, waveform)
    assert not np.shares_memory(*pair)
    pair = ComposedViews([Gain()], [Equalizer(), Told()])(waveform, generators())
    assert pair.applied == ("equalizer",) and pair.skipped == ("told",)
    np.testing.assert_array_equal(waveform, before)


def test_the_draws_of_each_view_depend_on_its_own_generator_alone():
    views = pickle.loads(pickle.dumps(ComposedViews([Gain()], [Gain(), Gain()])))
    drawn = views.draw(*generators(), 100)
    for other in (generators(1, 0), generators(0, 1)):
        assert views.draw(other[0], generators()[1], 100).perturbed == drawn.perturbed
        assert views.draw(generators()[0], other[1], 100).clean == drawn.clean
        assert views.draw(*other, 100).perturbed != drawn.perturbed


def broken(result):
    class Broken(Transform):
        name = "broken"

        def apply(self, waveform, parameters):
            return result(waveform)

    return Broken()


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (lambda x: x[:-1], r"shape \(99,\) from the transform broken, expected .* \(100,\)"),
        (lambda x: np.stack([x, x]), r"shape \(2, 100\) from the transform broken"),
        (lambda x: x.astype(np.float64), "got float64 .* expected float32"),
        (lambda x: np.full_like(x, np.nan), "NaN or infinite samples from the transforms broken"),
    ],
)
def test_a_transform_that_breaks_its_promise_is_named(result, message):
    with pytest.raises(ValueError, match=message):
        ComposedViews([], [broken(result)])(noise(100), generators())


def test_lists_that_are_none_are_refused():
    with pytest.raises(TypeError, match="expected a Transform"):
        ComposedViews([], [np.clip])
    with pytest.raises(ValueError, match="clip 16000 Hz, clip 8000 Hz.* expected the same rate"):
        ComposedViews([Clip()], [Clip(8000)])


@pytest.mark.parametrize(
    ("waveform", "message"),
    [
        (np.zeros((2, 100)), r"shape \(2, 100\), expected \(samples,\)"),
        (np.float32(1.0), r"shape \(\), expected"),
        (np.zeros(100, dtype=np.int16), "int16, expected floats"),
        (np.array(["a"]), "expected floats"),
        (np.array([0.0, np.nan]), "NaN, infinite or huge"),
        (np.array([0.0, -np.inf], dtype=np.float32), "NaN, infinite or huge"),
        (np.full(10, 1e20, dtype=np.float32), "NaN, infinite or huge"),
    ],
)
def test_a_waveform_that_is_none_is_refused(waveform, message):
    with pytest.raises(ValueError, match=f"^A view got a waveform .*{message}"):
        ComposedViews([], [])(waveform, generators())


def test_loud_and_low_precision_waveforms_are_taken():
    assert check_waveform(np.full(10, 1e4, dtype=np.float32), "A view").max() == 1e4
    assert check_waveform(np.ones(10, dtype=np.float16), "A view").dtype == np.float32
    assert check_waveform(np.ones(10), "A view").dtype == np.float64
    assert check_waveform(np.ones(10)[::-2], "A view").flags.c_contiguous
