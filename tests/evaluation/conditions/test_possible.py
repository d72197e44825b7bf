"""Conditions that cannot be made leave themselves out, and say what they are in captions."""

import numpy as np
import pytest

from hf_rspin.evaluation import EvaluationSet
from hf_rspin.evaluation.conditions import (
    Babble,
    Clean,
    GaussianNoise,
    Reverberation,
    fingerprints,
    make_conditions,
    make_possible_conditions,
    severities_in_words,
)


def possible(names, snr=(0.0,), severities=(2,), noise=None, rooms=None, **more):
    return make_possible_conditions(names, snr, severities, noise, rooms, **more)


def test_what_cannot_be_made_is_a_sentence_unless_nothing_can(spoken):
    found, said = possible(["clean", "babble", "gaussian", "noise_seen"])
    assert [condition.name for condition in found] == ["clean", "gaussian"]
    assert said[0].startswith("The condition babble is left out: the condition babble needs")
    assert said[1].startswith("The condition noise_seen is left out: ")
    two = spoken.select([0, 1])
    found, said = possible(["babble", "rooms"], babble_pool=two)
    assert [condition.name for condition in found] == ["reverb"]
    assert "from a pool of 2 utterances" in said[0]
    with pytest.raises(ValueError, match="from a pool of 2 utterances"):
        possible(["clean", "babble"], babble_pool=two)
    assert possible(["clean"]) == ([Clean()], [])


def test_mistakes_are_refused_whatever_the_corpus_is(tmp_path):
    for names, more, message in (
        (["gausian", "clean"], {}, "got the condition 'gausian', .* did you mean gaussian[?]"),
        (["gaussian", "lowpass"], {"severities": [5]}, "got --severities .5.; expected some of 1"),
        (["gaussian", "lowpass"], {"snr": [float("nan")]}, "got --snr .nan.; expected one number"),
        (["gaussian", "reverb"], {"rooms": str(tmp_path / "no")}, "--rooms .*no does not exist"),
    ):
        with pytest.raises(ValueError, match=message):
            possible(names, **more)


def silent(count):
    """Utterances that can be counted as voices, and not heard."""

    class Silent(EvaluationSet):
        def read(self, index):
            return np.zeros(8000, dtype=np.float32)

    return Silent([f"u{i}" for i in range(count)], [{}] * count)


def test_conditions_that_fail_on_their_first_sounds_are_left_out():
    babble = Babble(silent(9))
    found, said = fingerprints([Clean(), GaussianNoise(), babble])
    assert [condition.name for condition, _ in found] == ["clean", "gaussian"]
    assert said[0].startswith("The condition babble is left out: got 0 audible utterances")
    with pytest.raises(ValueError, match="got 0 audible utterances"):
        fingerprints([Clean(), babble])


def test_every_severity_says_what_it_is():
    made = make_conditions(["lowpass", "clipping", "codec", "packet_loss"], severities=[1, 3])
    assert [condition.describe() for condition in made[:4]] == [
        "below 4000 Hz", "below 1000 Hz", "5 % of samples", "20 % of samples",
    ]  # fmt: skip
    assert made[4].describe() == "about 29, 58, 48 kbit/s (Opus, MP3, Vorbis)"
    assert made[6].describe() == "5 % of packets of 20 ms, bursts of 3"
    text = severities_in_words()
    assert "lowpass: below 4000 | 2000 | 1000 | 500 Hz" in text
    assert "resample: sampled at 12000 | 8000 | 4000 | 2000 Hz" in text
    assert "telephone: 300 to 3400 Hz, G.711 | G.711 or GSM | GSM | GSM twice" in text


def test_rooms_and_voices_say_where_they_come_from(spoken):
    (room,) = make_conditions(["reverb"], simulated_rooms=2)
    assert room.describe() == "2 simulated rooms"
    assert room == Reverberation(room.responses)  # the words are no part of the condition
    assert Babble(spoken).describe() == "4 voices"
