import numpy as np
import pytest

from hf_rspin.evaluation.conditions import (
    BackgroundNoise,
    Clean,
    GaussianNoise,
    Reverberation,
    condition_fingerprint,
    synthesize_rirs,
)
from hf_rspin.views import NoiseBank


def make_conditions():
    rng = np.random.default_rng(0)
    clips = [rng.normal(0, 0.1, size).astype(np.float32) for size in (3000, 40000)]
    return [
        Clean(),
        GaussianNoise(0.0),
        BackgroundNoise(NoiseBank(clips), 0.0),
        Reverberation(synthesize_rirs(3)),
    ]


def snr_db(waveform, distorted):
    noise = distorted.astype(np.float64) - waveform
    return 10 * np.log10((waveform.astype(np.float64) ** 2).mean() / (noise**2).mean())


@pytest.mark.parametrize("condition", make_conditions(), ids=lambda c: c.name)
def test_an_utterance_is_distorted_the_same_whatever_came_before(condition, waveform):
    first = condition(waveform, "u1")
    assert first.shape == waveform.shape and first.dtype == np.float32
    condition(waveform, "u2")
    np.testing.assert_array_equal(condition(waveform, "u1"), first)


@pytest.mark.parametrize("condition", make_conditions()[1:], ids=lambda c: c.name)
def test_utterances_are_distorted_differently(condition, waveform):
    found = [condition(waveform, f"u{i}") for i in range(6)]
    assert any(np.abs(found[0] - other).max() > 1e-4 for other in found[1:])
    assert np.abs(found[0] - waveform).max() > 1e-4


@pytest.mark.parametrize("snr", [-10.0, 0.0, 20.0])
def test_noise_has_the_asked_ratio(snr, waveform):
    bank = NoiseBank([np.random.default_rng(1).normal(size=2500).astype(np.float32)])
    for condition in (GaussianNoise(snr), BackgroundNoise(bank, snr)):
        assert snr_db(waveform, condition(waveform, "u")) == pytest.approx(snr, abs=0.01)


def test_every_room_is_used_and_none_is_refused(waveform):
    rooms = [
        np.eye(1, 200, k, dtype=np.float32)[0] + np.eye(1, 200, dtype=np.float32)[0] * 2
        for k in (40, 80, 120)
    ]
    condition = Reverberation(rooms)
    found = {condition(waveform, f"u{i}").tobytes() for i in range(40)}
    assert len(found) == 3
    with pytest.raises(ValueError, match="no room"):
        Reverberation([])


def test_the_fingerprint_follows_what_a_condition_does(waveform):
    rng = np.random.default_rng(2)
    clips = [rng.normal(0, 0.1, 9000).astype(np.float32) for _ in range(3)]
    others = [*clips[:2], rng.normal(0, 0.1, 9000).astype(np.float32) ** 3]
    made = [
        Clean(), GaussianNoise(), GaussianNoise(5.0), GaussianNoise(seed=1),
        GaussianNoise(name="hiss"), BackgroundNoise(NoiseBank(clips)),
        BackgroundNoise(NoiseBank(others)), Reverberation(synthesize_rirs(3)),
        Reverberation(synthesize_rirs(4)),
    ]  # fmt: skip
    found = [condition_fingerprint(condition) for condition in made]
    assert len(set(found)) == len(made)
    assert found[5] == condition_fingerprint(BackgroundNoise(NoiseBank(clips)))
