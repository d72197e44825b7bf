"""Reading audio: rates, channels, formats and what cannot be read."""

import io

import numpy as np
import pytest
import soundfile
import torch
from transformers import HubertConfig, HubertModel, Wav2Vec2FeatureExtractor

from hf_rspin.audio import (
    AudioError,
    audio_duration,
    is_recording,
    normalize_waveforms,
    num_frames,
    num_samples,
    random_crop,
    read_audio,
)


def tone(rate, seconds=1.0, hertz=440.0):
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)).astype("f4")


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_every_format_and_rate_becomes_the_same_mono_tone(tmp_path, suffix, rate):
    path = tmp_path / f"tone.{suffix}"
    soundfile.write(path, np.stack([tone(rate), tone(rate)], axis=1), rate)
    waveform = read_audio(path)
    assert waveform.dtype == np.float32 and waveform.ndim == 1
    assert abs(len(waveform) - 16000) <= 1700  # mp3 pads whole blocks
    spectrum = np.abs(np.fft.rfft(waveform[2000:14000]))
    assert abs(spectrum.argmax() * 16000 / 12000 - 440) < 2
    assert audio_duration(path) == pytest.approx(1.0, abs=0.12)


def test_channels_are_averaged_and_bytes_equal_path(tmp_path):
    path = tmp_path / "stereo.wav"
    soundfile.write(path, np.stack([tone(16000), np.zeros(16000)], axis=1), 16000, "FLOAT")
    np.testing.assert_allclose(read_audio(path), tone(16000) / 2, atol=1e-7)
    np.testing.assert_array_equal(read_audio(path.read_bytes()), read_audio(path))
    cell = {"path": "elsewhere.wav", "bytes": path.read_bytes()}
    np.testing.assert_array_equal(read_audio(cell), read_audio(path))


@pytest.mark.parametrize("content", [b"", b"not audio at all", None])
def test_unreadable_files_are_named(tmp_path, content):
    path = tmp_path / "broken.wav"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(AudioError, match="broken.wav"):
        read_audio(path)
    with pytest.raises(AudioError, match="broken.wav"):
        audio_duration(path)


def test_empty_and_not_finite_audio_is_refused(tmp_path):
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 16000)
    with pytest.raises(AudioError, match="no samples"):
        read_audio(tmp_path / "empty.wav")
    soundfile.write(tmp_path / "nan.wav", np.full(100, np.nan), 16000, "FLOAT")
    with pytest.raises(AudioError, match="NaN"):
        read_audio(tmp_path / "nan.wav")


def test_frames_are_the_encoder_s():
    config = HubertConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        conv_dim=(8,) * 7, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2,
    )
    model = HubertModel(config).eval()
    for samples in (400, 719, 720, 16000, 16079, 16080):
        frames = model(torch.zeros(1, samples)).last_hidden_state.shape[1]
        assert num_frames(samples) == frames
        assert num_frames(num_samples(frames)) == frames
        assert num_frames(num_samples(frames) - 1) == frames - 1
    assert num_frames(399) == 0 and num_samples(0) == 0


def test_crops_start_on_frames_and_cover_the_whole():
    generator = np.random.default_rng(0)
    starts = set()
    for _ in range(300):
        start, stop = random_crop(3200, 1600, generator)
        assert start % 320 == 0 and stop - start == 1600 and stop <= 3200
        starts.add(start)
    assert starts == {0, 320, 640, 960, 1280, 1600}
    assert random_crop(1000, 1600, generator) == (0, 1000)


class Decoded:
    """The audio of `datasets` 4 and later: no mapping, but it answers to two names."""

    def __init__(self, array, rate):
        self.values = {"array": array, "sampling_rate": rate}

    def __getitem__(self, key):
        return self.values[key]

    def get_all_samples(self):
        raise AssertionError("the two names are enough")


def test_every_kind_of_source_gives_the_same_waveform(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(16000), 16000, "FLOAT")
    expected = tone(16000)
    for source in (
        path, str(path), path.read_bytes(), bytearray(path.read_bytes()),
        io.BytesIO(path.read_bytes()), expected, expected.tolist(), tuple(expected.tolist()),
        torch.from_numpy(expected), {"array": expected, "sampling_rate": 16000},
        {"array": expected.tolist(), "sampling_rate": 16000}, Decoded(expected, 16000),
    ):  # fmt: skip
        assert is_recording(source)
        np.testing.assert_array_equal(read_audio(source), expected)
        assert audio_duration(source) == 1.0
    with open(path, "rb") as file:
        for _ in range(2):  # it stays where it stands
            np.testing.assert_array_equal(read_audio(file), expected)
    assert not is_recording([path, path]) and not is_recording([]) and not is_recording(7)


def test_floats_say_their_rate():
    high = tone(48000)
    for source in ({"array": high, "sampling_rate": 48000}, Decoded(high, 48000)):
        assert len(read_audio(source)) == 16000
    assert len(read_audio(high, array_rate=48000)) == 16000
    np.testing.assert_array_equal(read_audio(high, start=5, stop=9), high[5:9])


@pytest.mark.parametrize(
    ("source", "match"),
    [
        (np.zeros((2, 100), "f4"), r"shape \(2, 100\)"),
        (np.zeros(100, "i2"), "int16.*divide 16-bit"),
        ([1, 2, 3], "int64"),
        (7, "int; expected a path"),
        (io.StringIO("text"), "opened as text"),
        (np.array([np.nan], "f4"), "NaN"),
        ([], "list; expected a path"),
    ],
)
def test_what_is_no_waveform_is_refused(source, match):
    with pytest.raises(AudioError, match=match):
        read_audio(source)


def test_normalised_waveforms_are_those_of_the_feature_extractor():
    extractor = Wav2Vec2FeatureExtractor(do_normalize=True)
    waveforms = np.random.default_rng(0).normal(0.3, 0.02, (3, 5000)).astype("f4")
    expected = np.stack(extractor(list(waveforms), sampling_rate=16000)["input_values"])
    np.testing.assert_allclose(normalize_waveforms(waveforms), expected, atol=1e-5)
    tensor = normalize_waveforms(torch.from_numpy(waveforms))
    np.testing.assert_allclose(tensor.numpy(), expected, atol=1e-5)
    np.testing.assert_array_equal(normalize_waveforms(np.ones((1, 9), "f4")), np.zeros((1, 9)))
