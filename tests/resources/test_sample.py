"""The speech sample: its size, its splits, and whether the alignment fits the sound."""

from collections import defaultdict

import numpy as np
import pytest

from hf_rspin.audio import FRAME_SHIFT, FRAME_WINDOW, num_frames, read_audio
from hf_rspin.resources import frame_phones, load_sample, parse_alignment, sample_folder

VOWELS = ("AA", "AE", "AH", "EH", "OW", "AY", "EY", "OY")
VOICELESS = ("S", "SH", "CH", "TH", "F", "T")


@pytest.fixture(scope="module")
def sample():
    return load_sample()


@pytest.fixture(scope="module")
def frames_of(sample):
    """Frames of unit-power utterances by phone: {phone: (frames, 400)}."""
    frames = defaultdict(list)
    for row in sample:
        waveform = read_audio(row["audio"])
        waveform = waveform / np.sqrt(np.mean(waveform**2))
        for index, phone in enumerate(frame_phones(row["alignment"], len(waveform))):
            frames[phone].append(waveform[index * FRAME_SHIFT :][:FRAME_WINDOW])
    return {phone: np.stack(rows) for phone, rows in frames.items()}


def test_the_audio_takes_at_most_four_megabytes():
    assert sum(path.stat().st_size for path in sample_folder().rglob("*.flac")) <= 4e6


def test_every_file_has_a_row_and_every_row_a_file(sample):
    files = {str(path) for path in sample_folder().rglob("*.flac")}
    assert files == {row["audio"]["path"] for row in sample}


def test_voices_are_in_both_splits_and_sentences_in_one():
    train, test = load_sample("train"), load_sample("test")
    assert set(train["speaker"]) == set(test["speaker"])
    assert len(set(train["speaker"])) == 20
    assert not set(train["text"]) & set(test["text"])


def test_every_sentence_is_spoken_by_several_voices(sample):
    voices = defaultdict(set)
    for row in sample:
        voices[row["text"]].add(row["speaker"])
    assert min(len(names) for names in voices.values()) >= 3


def test_the_metadata_agrees_with_the_audio_and_with_itself(sample):
    for row in sample:
        waveform = read_audio(row["audio"])
        assert row["duration"] == pytest.approx(len(waveform) / 16_000, abs=1e-3)
        assert row["duration"] >= 2.5
        segments = parse_alignment(row["alignment"], row["duration"])
        assert all(segment.end - segment.start > 0.01 for segment in segments)
        phones = [segment.phone for segment in segments if segment.phone != "SIL"]
        assert " ".join(phones) == row["phones"]


def test_an_unknown_split_is_refused():
    with pytest.raises(ValueError, match="'dev'.*'train', 'test' or None"):
        load_sample("dev")


def test_silence_is_silent_and_vowels_are_loud(frames_of):
    power = {phone: np.mean(rows**2, axis=1) for phone, rows in frames_of.items()}
    # Frames at an edge reach 7.5 ms into the next phone, so the median speaks for silence.
    assert np.median(power["SIL"]) < 1e-4
    for vowel in VOWELS:
        assert np.percentile(power[vowel], 10) > 0.2


def test_vowels_are_voiced_and_fricatives_are_not(frames_of):
    voicing = {phone: np.median(periodicity(rows)) for phone, rows in frames_of.items()}
    assert min(voicing[phone] for phone in VOWELS) > max(voicing[phone] for phone in VOICELESS)


def test_the_energy_of_s_lies_high(frames_of):
    for phone in ("S", "CH"):
        assert centroid(frames_of[phone]) > 3000
    for phone in ("N", "M", "W", "UW"):
        assert centroid(frames_of[phone]) < 1000


def periodicity(frames: np.ndarray) -> np.ndarray:
    """Largest normalised autocorrelation at 64 to 400 Hz of (frames, samples): (frames,)."""
    spectrum = np.fft.rfft(frames - frames.mean(1, keepdims=True), 1024)
    correlation = np.fft.irfft(np.abs(spectrum) ** 2)
    return correlation[:, 40:250].max(1) / (correlation[:, 0] + 1e-6)


def centroid(frames: np.ndarray) -> float:
    """Centre of gravity of the mean power spectrum of (frames, samples), in Hz."""
    power = np.mean(np.abs(np.fft.rfft(frames * np.hanning(FRAME_WINDOW))) ** 2, axis=0)
    return float(np.sum(power * np.fft.rfftfreq(FRAME_WINDOW, 1 / 16_000)) / np.sum(power))


def test_one_label_per_encoder_frame(sample):
    samples = round(sample[0]["duration"] * 16_000)
    assert len(frame_phones(sample[0]["alignment"], samples)) == num_frames(samples)
