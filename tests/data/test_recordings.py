"""Recordings of any length become short rows."""

import numpy as np
import pytest
import soundfile

from hf_rspin.audio import read_audio
from hf_rspin.data import SkippedFiles, load_corpus
from hf_rspin.data.recordings import cut_recordings


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "speech"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for name, seconds, rate in (("long", 61, 8000), ("short", 3, 16000), ("loud", 2, 16000)):
        level = 2.0 if name == "loud" else 0.1
        waveform = level * generator.uniform(-1, 1, seconds * rate)
        soundfile.write(folder / f"{name}.wav", waveform, rate, subtype="FLOAT")
    return folder


def test_a_long_recording_becomes_many_rows_of_equal_length(folder, tmp_path):
    cut = cut_recordings(load_corpus(folder), tmp_path / "cut", 1e6, segment_seconds=12)
    assert len(cut) == 6 + 1 + 1 and len(set(cut["id"])) == 8
    long = [row for row in cut if row["id"].startswith("long")]
    assert [row["duration"] for row in long] == pytest.approx([61 / 6] * 6, abs=1e-3)
    whole = read_audio(folder / "long.wav")
    row = next(row for row in cut if row["id"] == "long at 20.33 s")
    part, start = read_audio(row["audio"]), round(61 / 3 * 16000)
    np.testing.assert_allclose(part[500:-500], whole[start : start + len(part)][500:-500],
                               atol=1e-3)  # fmt: skip
    (loud,) = [row for row in cut if row["id"].startswith("loud")]
    assert 0.99 < np.abs(read_audio(loud["audio"])).max() <= 1  # scaled, not clipped
    assert np.mean(np.abs(read_audio(loud["audio"])) > 0.98) < 0.05


def test_a_random_part_is_used_and_bad_files_are_named(folder, tmp_path):
    soundfile.write(folder / "silent.wav", np.zeros(32000), 16000)
    corpus = load_corpus(folder)
    (folder / "short.wav").write_bytes(b"gone since")
    skipped = SkippedFiles()
    cut = cut_recordings(corpus, tmp_path / "cut", 1e6, skipped=skipped)
    assert len(cut) == 7 and len(skipped) == 2
    assert any("silent.wav" in name for name in skipped.reasons)
    drawn = [cut_recordings(corpus, tmp_path / "cut", 30.0, seed=s)["id"] for s in (0, 0, 1)]
    assert list(drawn[0]) == list(drawn[1]) != list(drawn[2])
    assert sum(cut_recordings(corpus, tmp_path / "cut", 30.0)["duration"]) <= 30
