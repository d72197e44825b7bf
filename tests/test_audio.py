"""Reading audio: rates, channels, formats and what cannot be read."""

import numpy as np
import pytest
import soundfile
import torch
from transformers import HubertConfig, HubertModel

from hf_rspin.audio import (
    AudioError,
    audio_duration,
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
