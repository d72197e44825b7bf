import numpy as np
import pytest

from hf_rspin.evaluation import EvaluationSet
from hf_rspin.evaluation.conditions import (
    Babble,
    BackgroundNoise,
    GaussianNoise,
    Reverberation,
    condition_fingerprint,
    synthesize_rirs,
)
from hf_rspin.views import NoiseBank

SECOND = 16000


def snr_db(waveform, distorted):
    noise = distorted.astype(np.float64) - waveform
    return 10 * np.log10(np.var(waveform.astype(np.float64)) / np.var(noise))


@pytest.mark.parametrize("snr", [20.0, 10.0, 5.0, 0.0, -5.0, -10.0])
def test_noise_has_the_asked_ratio(snr, speech, spoken):
    bank = NoiseBank([np.random.default_rng(1).normal(size=2500).astype(np.float32)])
    for condition in (GaussianNoise(snr), BackgroundNoise(bank, snr), Babble(spoken, snr)):
        for waveform in speech:
            assert snr_db(waveform, condition(waveform, "u")) == pytest.approx(snr, abs=0.1)


def tones(count, speakers, seconds=1.5):
    """Utterance k is a tone of 500 + 200 k Hz, each louder than the one before."""
    times = np.arange(int(seconds * SECOND)) / SECOND
    audio = [0.01 * (k + 1) * np.sin(2 * np.pi * (500 + 200 * k) * times) for k in range(count)]
    ids = [f"u{k}" for k in range(count)]
    return EvaluationSet(ids, [wave.astype(np.float32) for wave in audio], speakers)


def levels(condition, utterance, count):
    """Return how strong the tone of each utterance is in what the condition adds."""
    waveform = np.random.default_rng(0).normal(0, 0.1, SECOND).astype(np.float32)
    noise = condition(waveform, utterance) - waveform
    return np.abs(np.fft.rfft(noise))[[500 + 200 * k for k in range(count)]]


def test_babble_is_four_others_at_one_level_and_never_the_speaker():
    speakers = [f"s{k // 2}" for k in range(12)]
    condition, heard = Babble(tones(12, speakers)), set()
    for k in range(12):
        found = levels(condition, f"u{k}", 12)
        voices = np.flatnonzero(found > 0.05 * found.max())
        assert len(voices) == 4
        np.testing.assert_allclose(found[voices], found.max(), rtol=0.02)
        assert speakers[k] not in {speakers[voice] for voice in voices}
        heard.update(voices.tolist())
    assert heard == set(range(12))


def test_babble_without_speakers_leaves_the_utterance_out():
    condition = Babble(tones(5, None), voices=4)
    for k in range(5):
        found = levels(condition, f"u{k}", 5)
        assert np.flatnonzero(found < 0.05 * found.max()).tolist() == [k]


def test_babble_knows_the_speakers_of_another_split():
    pool = tones(6, ["a", "a", "b", "b", "c", "c"])
    condition = Babble(pool, voices=4, speakers={"test-1": "b", "test-2": None, "test-3": "d"})
    found = levels(condition, "test-1", 6)
    assert np.flatnonzero(found > 0.05 * found.max()).tolist() == [0, 1, 4, 5]
    assert condition.others("test-2") == condition.others("test-3") == list(range(6))


def test_babble_passes_over_silent_and_damaged_utterances(caplog):
    pool = tones(6, None)
    pool.audio[1] = np.zeros(8000, dtype=np.float32)
    pool.audio[2] = {"path": None, "bytes": b"RIFFnothing"}
    found = levels(Babble(pool), "other", 6)
    assert np.flatnonzero(found > 0.05 * found.max()).tolist() == [0, 3, 4, 5]
    with pytest.raises(ValueError, match="got 4 audible utterances .* behind other, expected 5"):
        levels(Babble(pool, voices=5), "other", 6)
    assert "Babble leaves out u2" in caplog.text


def test_babble_of_too_few_others_is_refused_at_once():
    sentence = "babble of 4 voices from a pool of 6 utterances, of which 3 are by others"
    with pytest.raises(ValueError, match=sentence):
        Babble(tones(6, ["a", "a", "a", "b", "b", "c"]))
    with pytest.raises(ValueError, match="a pool of 5 utterances, of which 0 are by others"):
        Babble(tones(5, ["a"] * 5))
    Babble(tones(5, ["a"] * 5), speakers={"test": "b"})  # which is another speaker
    for voices in (0, 5):
        with pytest.raises(ValueError, match=f"got babble of {voices} voices"):
            Babble(tones(5, None), voices=voices)


def test_what_comes_directly_stays_in_place():
    click = np.eye(1, SECOND, 4000, dtype=np.float32)[0]
    for response in synthesize_rirs(5):
        late = np.concatenate([np.zeros(700, dtype=np.float32), response])  # as measured ones begin
        heard = Reverberation([late])(click, "u")
        assert np.argmax(np.abs(heard)) == 4000 and np.abs(heard[:4000]).max() < 1e-6


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


def test_every_recording_counts_in_the_fingerprint():
    rng = np.random.default_rng(0)
    noises = [rng.normal(size=4000).astype(np.float32) for _ in range(40)]
    known = condition_fingerprint(BackgroundNoise(NoiseBank(noises)))
    rooms = condition_fingerprint(Reverberation(noises))
    for place in range(0, 40, 13):
        others = [*noises[:place], noises[place] + 0.5, *noises[place + 1 :]]
        assert condition_fingerprint(BackgroundNoise(NoiseBank(others))) != known
        assert condition_fingerprint(Reverberation(others)) != rooms
    assert condition_fingerprint(BackgroundNoise(NoiseBank(list(noises)))) == known
