import re
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

from hf_rspin.evaluation.conditions import (
    BackgroundNoise,
    Clean,
    Compression,
    GaussianNoise,
    GradedDistortion,
    LowPass,
    PacketLoss,
    Reverberation,
    Telephone,
    condition_fingerprint,
    synthesize_rirs,
)
from hf_rspin.views import NoiseBank

DRAWS_NOTHING = (
    "clean", "lowpass", "highpass", "resample", "clipping", "echo", "telephone_3", "telephone_4"
)  # fmt: skip


def test_an_utterance_is_distorted_the_same_whatever_came_before(every_condition, speech):
    for condition in every_condition:
        first = condition(speech[0], "u1")
        condition(speech[1], "u2")
        np.testing.assert_array_equal(condition(speech[0], "u1"), first, condition.name)


def test_sounds_stay_in_place_and_are_changed(every_condition, speech, lag):
    for condition in every_condition:
        changes = []
        for place, waveform in enumerate(speech):
            before = waveform.copy()
            heard = condition(waveform, f"u{place}")
            assert heard.shape == waveform.shape and heard.dtype == np.float32, condition.name
            assert np.isfinite(heard).all()
            np.testing.assert_array_equal(waveform, before)
            # Opus below 12 kbit/s changes the phase by up to half a sample
            slack = 1 if re.fullmatch("codec_[34]", condition.name) else 0
            # a reflection may be louder than what comes directly; another pitch correlates nowhere
            if not condition.name.startswith(("reverb", "pitch")):
                assert abs(lag(waveform, heard)) <= slack, condition.name
            changes.append(np.abs(heard - waveform).max())
        assert (max(changes) > 1e-3) == (condition.name != "clean"), condition.name


def test_silent_short_and_loud_utterances_survive(every_condition, speech):
    start = int(np.argmax(np.abs(speech[0])))
    for condition in every_condition:
        for samples in (400, 5001):
            silence = np.zeros(samples, dtype=np.float32)
            assert not condition(silence, "u").any(), condition.name
        for waveform in (speech[0][start : start + 400], 30 * speech[0], speech[0] + 0.3):
            heard = condition(waveform.astype(np.float32), "u")
            assert heard.shape == waveform.shape and heard.dtype == np.float32, condition.name
            assert np.isfinite(heard).all(), condition.name


def test_utterances_and_seeds_draw_differently_and_filters_draw_nothing(every_condition, speech):
    waveform = speech[0][8000:16000]
    for condition in every_condition:
        found = [condition(waveform, f"u{i}").tobytes() for i in range(6)]
        draws = not condition.name.startswith(DRAWS_NOTHING)
        assert (len(set(found)) > 1) == draws, condition.name
        if draws:
            other = replace(condition, seed=7)
            assert found != [other(waveform, f"u{i}").tobytes() for i in range(6)], condition.name


def test_every_condition_has_a_name_of_its_own_and_is_frozen(every_condition):
    places = [(condition.name, condition.snr_db) for condition in every_condition]
    assert len(set(places)) == len(places)
    for condition in every_condition:
        with pytest.raises(FrozenInstanceError):
            condition.name = "other"
    assert [LowPass(severity).name for severity in (1, 2, 3, 4)] == [
        "lowpass_1", "lowpass", "lowpass_3", "lowpass_4"
    ]  # fmt: skip
    for wrong in (0, 5, 2.0, True, "2"):
        with pytest.raises(ValueError, match="got severity .* of lowpass, expected 1 .mild., 2, 3"):
            LowPass(wrong)


def test_the_fingerprint_follows_what_a_condition_does(every_condition):
    rng = np.random.default_rng(2)
    clips = [rng.normal(0, 0.1, 9000).astype(np.float32) for _ in range(3)]
    others = [*clips[:2], rng.normal(0, 0.1, 9000).astype(np.float32) ** 3]
    made = [
        GaussianNoise(5.0), GaussianNoise(seed=1), GaussianNoise(name="hiss"),
        BackgroundNoise(NoiseBank(clips)), BackgroundNoise(NoiseBank(others)),
        Reverberation(synthesize_rirs(3)), Reverberation(synthesize_rirs(4)),
        # of one name, so that it is the sound that differs
        *(replace(c, name="x") for c in every_condition if isinstance(c, GradedDistortion)),
        *(kind(seed=1, name="x") for kind in (Compression, Telephone, PacketLoss)),
    ]  # fmt: skip
    found = [condition_fingerprint(condition) for condition in [*every_condition, *made]]
    assert len(set(found)) == len(found)
    assert condition_fingerprint(BackgroundNoise(NoiseBank(clips))) in found


def test_clean_speech_is_the_waveform_itself(speech):
    assert Clean()(speech[0], "u") is speech[0]
