import logging
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soundfile

from hf_rspin.audio import AudioError, read_audio
from hf_rspin.views import noise_bank as bank_module
from hf_rspin.views.noise import (
    add_noise,
    babble,
    fit_length,
    gaussian_noise,
    mean_power,
    reverberate,
    synthesize_room_response,
)
from hf_rspin.views.noise_bank import NoiseBank

RATE = 16_000


def power(waveform):
    return np.var(np.asarray(waveform, dtype=np.float64))  # a constant offset is not heard


def tone(num_samples, level=1.0):
    return (level * (-1.0) ** np.arange(num_samples)).astype(np.float32)


@pytest.mark.parametrize("snr_db", [-10.0, 0.0, 7.5, 20.0])
@pytest.mark.parametrize("noise_samples", [700, 5000, 9000])
def test_the_snr_is_exact_over_the_utterance(speech, snr_db, noise_samples):
    noise = np.random.default_rng(0).standard_normal(noise_samples)
    noise *= np.linspace(0, 1, noise_samples)
    clean = speech[4000:9000]
    added = add_noise(clean, noise, snr_db).astype(np.float64) - clean
    assert 10 * np.log10(power(clean) / power(added)) == pytest.approx(snr_db, abs=1e-3)
    expected = np.resize(noise, 5000)
    expected = expected - expected.mean()
    np.testing.assert_allclose(added / added.std(), expected / expected.std(), atol=1e-3)


@pytest.mark.parametrize("snr_db", [-10.0, 5.0])
@pytest.mark.parametrize(("speech_offset", "noise_offset"), [(0.4, 0.0), (0.0, -3.0), (0.4, 20.0)])
def test_a_constant_offset_counts_neither_as_speech_nor_as_noise(
    speech, snr_db, speech_offset, noise_offset
):
    noise = 0.01 * np.random.default_rng(0).standard_normal(len(speech)).astype(np.float32)
    clean = (0.1 * speech + speech_offset).astype(np.float32)
    noisy = add_noise(clean, noise + np.float32(noise_offset), snr_db)
    added = noisy.astype(np.float64) - clean
    assert 10 * np.log10(power(clean) / power(added)) == pytest.approx(snr_db, abs=0.02)
    assert abs(added.mean()) < 1e-3 * added.std()
    plain = add_noise((0.1 * speech).astype(np.float32), noise, snr_db)
    np.testing.assert_allclose(noisy - np.float32(speech_offset), plain, atol=2e-4)


@pytest.mark.parametrize("offset", [0.0, 0.01, 1.0, 300.0])
def test_the_power_is_exact_under_any_offset(speech, offset):
    shifted = (speech + np.float32(offset)).astype(np.float32)
    assert mean_power(shifted) == pytest.approx(power(shifted), rel=1e-4)
    assert mean_power(np.full(1000, offset, dtype=np.float32)) <= 1e-12 * (1 + offset**2)
    assert mean_power(np.zeros(0)) == 0.0


def test_a_bank_passes_over_noise_that_is_only_an_offset():
    bank = NoiseBank([np.full(500, 0.7, dtype=np.float32), tone(500, 0.1)])
    generator = np.random.default_rng(0)
    assert all(bank.draw(generator, 100).std() == pytest.approx(0.1, rel=1e-3) for _ in range(20))


def test_silent_speech_stays_silent_and_silent_noise_is_refused():
    for silence in (np.zeros(10), np.full(10, 0.2, dtype=np.float32)):
        np.testing.assert_array_equal(add_noise(silence, tone(10), 0.0), silence)
        with pytest.raises(ValueError, match="noise is silent"):
            add_noise(tone(10), silence, 0.0)


@pytest.mark.parametrize(
    ("waveform", "noise", "snr_db", "message"),
    [
        (tone(10), tone(10), float("nan"), "snr_db=nan, expected a finite"),
        (tone(10), np.zeros(0), 0.0, "no samples"),
        (tone(10), np.ones((2, 10)), 0.0, r"noise of shape \(2, 10\), expected \(samples,\)"),
        (tone(10), np.array([0.0, np.nan]), 0.0, "NaN, infinite or huge"),
        (np.ones((2, 10)), tone(10), 0.0, r"waveform of shape \(2, 10\)"),
        (np.array([0.0, np.inf]), tone(10), 0.0, "NaN, infinite or huge"),
        (np.ones(10, dtype=np.int16), tone(10), 0.0, "int16, expected floats"),
    ],
)
def test_a_mix_that_cannot_be_made_says_why(waveform, noise, snr_db, message):
    with pytest.raises(ValueError, match=message):
        add_noise(waveform, noise, snr_db)


def test_long_noise_is_cropped_anywhere_and_short_noise_repeats():
    generator = np.random.default_rng(1)
    starts = {int(fit_length(np.arange(20), 15, generator)[0]) for _ in range(200)}
    assert starts == set(range(6))
    repeated = fit_length(np.arange(4), 10, generator)
    np.testing.assert_array_equal(np.diff(repeated) % 4, 1)


def test_gaussian_noise_is_white_and_of_unit_power():
    noise = gaussian_noise(np.random.default_rng(2), 100_000)
    assert power(noise) == pytest.approx(1.0, rel=0.02)
    assert abs(np.mean(noise[1:] * noise[:-1])) < 0.02


def test_babble_gives_every_voice_the_same_power():
    generator = np.random.default_rng(3)
    voices = [generator.standard_normal(8000) * level for level in (0.01, 1.0, 30.0)]
    mixture = babble([*voices, np.zeros(8000)], 8000)
    assert power(mixture) == pytest.approx(1.0, rel=1e-4)
    shares = [np.mean(mixture * v) / np.sqrt(power(v)) for v in voices]
    np.testing.assert_allclose(shares, 1 / np.sqrt(3), rtol=0.06)
    with pytest.raises(ValueError, match="at least one utterance"):
        babble([np.zeros(10)], 10)


def test_a_room_keeps_length_level_and_direct_path():
    response = np.zeros(900)
    response[100], response[500] = 1.0, -0.5
    waveform = np.random.default_rng(4).standard_normal(3000).astype(np.float32)
    wet = reverberate(waveform, response)
    expected = waveform.copy()
    expected[400:] -= 0.5 * waveform[:-400]
    expected *= np.sqrt(power(waveform) / power(expected))
    np.testing.assert_allclose(wet, expected, atol=1e-4)
    np.testing.assert_array_equal(reverberate(np.zeros(50), response), np.zeros(50))
    assert reverberate(waveform[:30], response).shape == (30,)
    for response in (np.zeros(5), np.zeros(0), np.zeros((2, 5)), np.array([1.0, np.nan])):
        with pytest.raises(ValueError, match="impulse response"):
            reverberate(waveform, response)


@pytest.mark.parametrize("t60", [0.2, 0.8])
def test_a_synthetic_room_decays_as_asked(t60):
    response = synthesize_room_response(np.random.default_rng(5), RATE, t60).astype(np.float64)
    assert np.argmax(np.abs(response)) == 0 and response[0] == 1.0
    remaining = 10 * np.log10(np.cumsum(response[::-1] ** 2)[::-1])[int(0.02 * RATE) :]
    first, last = np.argmax(remaining < remaining[0] - 5), np.argmax(remaining < remaining[0] - 25)
    assert 3 * (last - first) / RATE == pytest.approx(t60, rel=0.1)
    for wrong in (0.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=f"t60 is {wrong} s"):
            synthesize_room_response(np.random.default_rng(5), RATE, wrong)


@pytest.fixture
def noise_folder(tmp_path):
    paths = []
    for index, rate in enumerate((16_000, 22_050)):
        path = tmp_path / f"noise{index}.wav"
        samples = 0.1 * np.random.default_rng(index).standard_normal(rate)
        soundfile.write(path, samples, rate)
        paths.append(path)
    (tmp_path / "broken.wav").write_bytes(b"not audio")
    soundfile.write(tmp_path / "silent.wav", np.zeros(4000), 16_000)
    return [*paths, tmp_path / "broken.wav", tmp_path / "silent.wav"]


def test_the_bank_draws_audible_noise_and_names_a_broken_file_once(noise_folder, caplog):
    bank = NoiseBank(noise_folder)
    generator = np.random.default_rng(6)
    with caplog.at_level(logging.WARNING):
        drawn = [bank.draw(generator, 20_000) for _ in range(30)]
    assert all(d.shape == (20_000,) and power(d) > 1e-4 for d in drawn)
    assert sum("broken.wav" in record.getMessage() for record in caplog.records) == 1


def test_draws_depend_on_the_generator_alone(noise_folder):
    bank = NoiseBank(noise_folder, cache_seconds=0.5)
    roomy = pickle.loads(pickle.dumps(NoiseBank(noise_folder)))
    for seed in range(10):
        for _ in range(2):
            np.testing.assert_array_equal(
                bank.draw(np.random.default_rng(seed), 3000),
                roomy.draw(np.random.default_rng(seed), 3000),
            )
    assert len(bank._cache) <= 2


def test_of_a_long_file_the_part_is_read_that_a_short_one_would_give(tmp_path, monkeypatch):
    path = tmp_path / "long.wav"
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(40_000), 16_000)
    whole = [NoiseBank([path]).draw(np.random.default_rng(s), 3000) for s in range(5)]
    monkeypatch.setattr(bank_module, "LONG_SECONDS", 1.0)
    bank = NoiseBank([path])
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(lambda s: bank.draw(np.random.default_rng(s), 3000), range(5)))
    np.testing.assert_array_equal(parts, whole)
    assert not bank._cache
    longer = bank.draw(np.random.default_rng(0), 50_000)  # repeats the whole file
    expected = NoiseBank([read_audio(path)]).draw(np.random.default_rng(0), 50_000)
    np.testing.assert_array_equal(longer, expected)


def test_babble_is_drawn_as_often_as_asked():
    speech = list(np.random.default_rng(0).standard_normal((2, 1000)))
    bank = NoiseBank([tone(500, 7.0)], speech_sources=speech, babble_probability=0.3)
    generator = np.random.default_rng(7)
    share = np.mean([bank.draw(generator, 50).std() < 2 for _ in range(1000)])
    assert share == pytest.approx(0.3, abs=0.05)


def test_babble_that_cancels_itself_out_is_drawn_again():
    bank = NoiseBank(
        [], speech_sources=[tone(50), -tone(50)], babble_probability=1.0, babble_speakers=(2, 2)
    )
    generator = np.random.default_rng(0)
    assert all(bank.draw(generator, 50).std() > 0.9 for _ in range(20))


def test_an_utterance_is_never_in_its_own_babble():
    # voices told apart by how many of their 60 samples are positive: 30, 20, 15
    speech = [np.where(np.arange(60) % period == 0, 1.0, -1.0) for period in (2, 3, 4)]
    bank = NoiseBank(
        [], speech_sources=speech, babble_probability=1.0, babble_speakers=(1, 1),
        speech_names=["a", "b", "c"],
    )  # fmt: skip

    def heard(utterance):
        generator = np.random.default_rng(7)
        return {int((bank.draw(generator, 60, utterance) > 0).sum()) for _ in range(100)}

    assert heard("a") == {20, 15} and heard("b") == {30, 15} and heard("c") == {30, 20}
    assert heard(None) == heard("a stranger") == {30, 20, 15}


def test_babble_of_the_utterance_alone_is_no_babble():
    lonely = {"speech_sources": [tone(50)], "speech_names": ["a"]}
    bank = NoiseBank([tone(50, 7.0)], babble_probability=0.9, **lonely)
    generator = np.random.default_rng(8)
    assert all(bank.draw(generator, 20, "a").std() > 2 for _ in range(20))
    with pytest.raises(AudioError, match="at least two utterances"):
        NoiseBank([], babble_probability=1.0, **lonely).draw(generator, 20, "a")


@pytest.mark.parametrize("names", [["a"], ["a", "a"], ["a", "b", "c"]])
def test_names_that_do_not_tell_the_speech_apart_are_refused(names):
    with pytest.raises(ValueError, match="for 2 speech_sources: give every source a name"):
        NoiseBank([np.ones(5)], speech_sources=[np.ones(5), np.ones(5)], speech_names=names)


def test_a_bank_that_cannot_work_says_so():
    with pytest.raises(ValueError, match="no sources"):
        NoiseBank([])
    with pytest.raises(ValueError, match="speech_sources"):
        NoiseBank([np.ones(5)], babble_probability=0.5)
    with pytest.raises(ValueError, match="expected 0 to 1"):
        NoiseBank([np.ones(5)], babble_probability=2.0)
    with pytest.raises(ValueError, match="babble_speakers"):
        NoiseBank([np.ones(5)], babble_speakers=(5, 3))
    with pytest.raises(ValueError, match="sampling rate of 0 Hz"):
        NoiseBank([np.ones(5)], sampling_rate=0)
    with pytest.raises(ValueError, match="num_samples=0 of noise"):
        NoiseBank([np.ones(5)]).draw(np.random.default_rng(0), 0)
    with pytest.raises(AudioError, match="no audible noise"):
        NoiseBank([np.zeros(5)]).draw(np.random.default_rng(0), 10)


def test_a_folder_is_searched_for_its_audio(noise_folder, tmp_path):
    (tmp_path / "street").mkdir()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "notes.txt").write_text("not audio")
    for place in ("street/car.WAV", ".hidden/secret.wav"):
        soundfile.write(tmp_path / place, np.zeros(100), 16_000)
    expected = sorted([*noise_folder, tmp_path / "street/car.WAV"])
    for given in (tmp_path, str(tmp_path)):
        assert list(NoiseBank(given).sources) == expected
    assert NoiseBank(path for path in expected).sources == expected
    babble_bank = NoiseBank([], speech_sources=str(tmp_path), babble_probability=1.0)
    assert list(babble_bank.speech_sources) == expected


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ("nowhere", "'nowhere' as noise, expected a folder or a list"),
        (b"RIFF", r"one noise source \(bytes\), expected a folder or a list"),
        ({"path": "a.wav"}, r"one noise source \(dict\)"),
        (np.ones(100), r"one noise source \(ndarray\)"),
        ([np.ones(5), np.ones((2, 5))], r"noise source 1 of shape \(2, 5\)"),
        ([np.array([0.0, np.nan])], "expected .* of finite numbers"),
        (None, "noise sources as NoneType, expected a folder or a list"),
        ([1, 2], "got 1 as noise source 0, expected audio"),
    ],
)
def test_sources_that_are_none_are_refused(sources, message):
    with pytest.raises(ValueError, match=message):
        NoiseBank(sources)


def test_a_folder_without_audio_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("not audio")
    with pytest.raises(ValueError, match="expected audio files in it"):
        NoiseBank(tmp_path)
