"""A part of a file is that part of the whole file."""

import io

import numpy as np
import pytest
import soundfile

from hf_rspin.audio import AudioError, read_audio
from hf_rspin.audio_segments import read_segment


def test_a_part_equals_the_whole_cut(tmp_path):
    stereo = 0.2 * np.random.default_rng(0).normal(size=(32000, 2))
    soundfile.write(tmp_path / "a.flac", stereo, 16000)
    whole = read_audio(tmp_path / "a.flac")
    cell = {"path": None, "bytes": (tmp_path / "a.flac").read_bytes()}
    for source in (tmp_path / "a.flac", cell):
        np.testing.assert_array_equal(read_segment(source, 0.5, 0.25), whole[8000:12000])
    np.testing.assert_array_equal(read_segment(cell, 1.9, 5.0), whole[30400:])


def test_other_rates_are_resampled(tmp_path):
    time = np.arange(48000 * 2) / 48000
    soundfile.write(tmp_path / "a.wav", 0.5 * np.sin(2 * np.pi * 440 * time), 48000)
    part = read_segment(tmp_path / "a.wav", 0.5, 1.0)
    expected = 0.5 * np.sin(2 * np.pi * 440 * (0.5 + np.arange(16000) / 16000))
    assert part.shape == (16000,)
    np.testing.assert_allclose(part[500:-500], expected[500:-500], atol=1e-2)


def test_what_cannot_be_read_is_named(tmp_path):
    (tmp_path / "broken.wav").write_bytes(b"no")
    with pytest.raises(AudioError, match=r"broken\.wav"):
        read_segment(tmp_path / "broken.wav", 0, 1)
    soundfile.write(tmp_path / "short.wav", np.ones(100) * 0.1, 16000)
    with pytest.raises(AudioError, match=r"short\.wav holds no usable samples at 3\.0 s"):
        read_segment(tmp_path / "short.wav", 3.0, 1.0)
    buffer = io.BytesIO()
    soundfile.write(buffer, np.full(100, np.nan), 16000, format="WAV", subtype="FLOAT")
    with pytest.raises(AudioError, match="NaN"):
        read_segment(buffer.getvalue(), 0, 1)
