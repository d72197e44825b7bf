"""Parts are parts of the whole; headers that lie; values and rates that are no audio."""

import functools
import io
import os
import struct
import tracemalloc

import numpy as np
import pytest
import soundfile

from hf_rspin.audio import AudioError, audio_duration, audio_length, read_audio
from hf_rspin.audio_files import AUDIO_SUFFIXES, conversion_hint, file_length
from hf_rspin.audio_headers import without_decoder_lines
from hf_rspin.resources import sample_folder

RATE = 16_000


def noise(seconds=3.0, rate=RATE, channels=1):
    shape = (round(seconds * rate), channels)
    return (0.1 * np.random.default_rng(0).standard_normal(shape)).astype("f4")


def encoded(samples, rate=RATE, **options):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, **options)
    return buffer.getvalue()


def with_total(flac, total):
    """Write another number of samples (36 bits) into the header of a FLAC file."""
    head = bytes([(flac[21] & 0xF0) | (total >> 32)]) + struct.pack(">I", total & 0xFFFFFFFF)
    return flac[:21] + head + flac[26:]


KINDS = {
    "wav": {"format": "WAV"},
    "flac": {"format": "FLAC"},
    "vorbis": {"format": "OGG", "subtype": "VORBIS"},
    "opus": {"format": "OGG", "subtype": "OPUS"},
    "mp3": {"format": "MP3"},
    "float": {"format": "WAV", "subtype": "FLOAT"},
    "adpcm": {"format": "WAV", "subtype": "IMA_ADPCM"},
    "gsm": {"format": "WAV", "subtype": "GSM610"},
    "caf": {"format": "CAF"},
    "w64": {"format": "W64"},
    "rf64": {"format": "RF64"},
    "sph": {"format": "NIST"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_equals_the_whole_cut(kind):
    data = encoded(noise(channels=1 if kind == "gsm" else 2), **KINDS[kind])
    whole = read_audio(data)
    length, seekable = audio_length(data)
    assert length == len(whole)
    assert seekable == (kind not in ("opus", "mp3", "float", "adpcm", "gsm"))
    for start, stop in ((0, 777), (1, 16_001), (31_999, 40_000), (length - 5, length + 100)):
        part = read_audio(data, RATE, start, stop)
        np.testing.assert_allclose(part, whole[start:stop], atol=1e-7)
    np.testing.assert_allclose(read_audio(data, RATE, 20_000), whole[20_000:], atol=1e-7)


@functools.cache
def voice(seconds):
    """Return tones that come and go: unlike noise they fill what decoders remember."""
    time = np.arange(round(seconds * RATE)) / RATE
    pitch = np.cumsum(120 + 60 * np.sin(2 * np.pi * 0.7 * time)) / RATE
    tones = sum(np.sin(2 * np.pi * k * pitch) / k for k in range(1, 30))
    return 0.2 * tones * (np.sin(2 * np.pi * 1.3 * time) > -0.5)


@pytest.mark.parametrize(
    ("kind", "atol"), [("vorbis", 1e-7), ("opus", 0.02), ("mp3", 1e-6), ("float", 0), ("flac", 0)]
)
def test_parts_of_long_files_are_read_by_seeking(kind, atol):
    data = encoded(voice(70.0), **KINDS[kind])  # more than one block
    whole = read_audio(data)
    np.testing.assert_array_equal(whole, soundfile.read(io.BytesIO(data), dtype="float32")[0])
    assert audio_length(data) == (len(whole), True)
    for start in np.random.default_rng(0).integers(1, len(whole) - 20_000, 20):
        part = read_audio(data, RATE, int(start), int(start) + 16_000)
        np.testing.assert_allclose(part, whole[start : start + 16_000], atol=atol)


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000])
def test_a_part_of_another_rate_equals_the_whole_cut(rate):
    data = encoded(noise(rate=rate, seconds=2.0), rate, format="FLAC")
    whole = read_audio(data)
    assert audio_length(data) == (len(whole), True) == (32_000, True)
    for start, stop in ((0, 5), (0, 9_000), (12_345, 20_000), (31_000, 32_000), (31_990, 99_999)):
        part = read_audio(data, RATE, start, stop)
        np.testing.assert_allclose(part, whole[start:stop], atol=1e-6)
        assert len(part) == min(stop, 32_000) - start


def test_only_the_part_is_decoded(tmp_path):
    soundfile.write(tmp_path / "long.flac", noise(120.0), RATE)
    tracemalloc.start()
    read_audio(tmp_path / "long.flac", RATE, 1_000_000, 1_016_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000  # bytes; the whole has 7,680,000


def test_a_cell_may_name_a_segment(tmp_path):
    soundfile.write(tmp_path / "a.wav", noise(), RATE)
    whole = read_audio(tmp_path / "a.wav")
    cell = {"path": str(tmp_path / "a.wav"), "bytes": None, "start": 0.5, "stop": 1.25}
    np.testing.assert_array_equal(read_audio(cell), whole[8_000:20_000])
    np.testing.assert_array_equal(read_audio(cell, RATE, 100, 300), whole[8_100:8_300])
    np.testing.assert_array_equal(read_audio(cell, RATE, 11_900, 99_999), whole[19_900:20_000])
    assert audio_length(cell) == (12_000, True)
    assert audio_duration(cell) == 0.75
    assert audio_duration({**cell, "stop": 9.0}) == 2.5
    with pytest.raises(AudioError, match=r"a\.wav holds no samples"):
        read_audio({**cell, "start": 3.5, "stop": 4.0})


@pytest.mark.parametrize("total", [0, 1_000, 96_000, 48_000 * 1_000, 2**36 - 1])
@pytest.mark.parametrize("kind", ["path", "bytes"])
def test_flac_headers_that_lie_are_read_to_the_real_end(tmp_path, total, kind):
    true = encoded(noise(), format="FLAC")
    source = with_total(true, total)
    if kind == "path":
        (tmp_path / "streamed.flac").write_bytes(source)
        source = tmp_path / "streamed.flac"
    tracemalloc.start()
    waveform = read_audio(source)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(waveform, read_audio(true))
    np.testing.assert_array_equal(read_audio(source, RATE, 100, 900), waveform[100:900])
    assert audio_duration(source) == 3.0
    assert audio_length(source) == (48_000, False)
    assert peak < 20_000_000  # bytes, whatever the header asks for


def test_what_lies_before_the_audio_is_no_audio():
    true = encoded(0.1 * np.ones(800), format="FLAC")
    block = b"\x01" + (200_000).to_bytes(3, "big") + bytes(200_000)  # padding
    assert file_length(true[:42] + block + true[42:]).seekable
    assert len(read_audio(true[:42] + block + true[42:])) == 800


@pytest.mark.parametrize("size", [0, 0x7FFFFFFF, 0xFFFFFFFF])
def test_streamed_wav_is_read_to_its_real_end(size):
    wav = encoded(noise(), format="WAV")
    place = wav.index(b"data") + 4
    streamed = wav[:place] + struct.pack("<I", size) + wav[place + 4 :]
    np.testing.assert_array_equal(read_audio(streamed), read_audio(wav))
    assert audio_duration(streamed) == 3.0


def test_a_cut_mp3_has_the_length_that_is_there():
    data = encoded(noise(10.0), format="MP3")
    half = data[: len(data) // 2]
    assert audio_duration(half) == len(read_audio(half)) / RATE < 6


def test_a_torn_flac_is_named(tmp_path):
    (tmp_path / "torn.flac").write_bytes(encoded(noise(), format="FLAC")[:-5000])
    for read in (read_audio, audio_duration):
        with pytest.raises(AudioError, match=r"torn\.flac could not be read"):
            read(tmp_path / "torn.flac")


@pytest.mark.parametrize("rate", [1, 1_999, 768_001, 2**31 - 1])
def test_absurd_rates_are_refused_before_anything_is_resampled(rate):
    wav = encoded(noise(), format="WAV")
    damaged = wav[:24] + struct.pack("<I", rate) + wav[28:]
    for read in (read_audio, audio_duration):
        with pytest.raises(AudioError, match=f"has {rate} Hz; expected 2000 to 768000"):
            read({"bytes": damaged, "path": "x.wav"})


@pytest.mark.parametrize("scale", [1e20, 32768 * 3])
def test_floats_far_beyond_full_scale_are_refused(scale):
    data = encoded(noise() * scale, format="WAV", subtype="FLOAT")
    with pytest.raises(AudioError, match="holds samples up to .*divide 16-bit integers"):
        read_audio({"bytes": data, "path": "loud.wav"})
    with pytest.raises(AudioError, match="samples up to"):
        read_audio((noise()[:, 0] * scale).astype("f4"))
    loud = encoded(noise() * 40, format="WAV", subtype="FLOAT")  # peaks near 20: mixed too loud
    assert np.abs(read_audio(loud)).max() > 10


def test_names_that_no_file_can_have_are_audio_errors():
    for name in ("x" * 300 + ".wav", "a\0b.wav"):
        with pytest.raises(AudioError, match="could not be read"):
            read_audio(name)


def test_every_suffix_is_one_that_can_be_read(tmp_path):
    formats = {
        "wave": "WAV", "bwf": "WAV", "oga": "OGG", "opus": "OGG", "aif": "AIFF", "aifc": "AIFF",
        "snd": "AU", "sph": "NIST", "nist": "NIST", "ircam": "IRCAM", "sf": "IRCAM", "svx": "SVX",
        "8svx": "SVX", "iff": "SVX", "mp2": "MP3",
    }  # fmt: skip
    for suffix in AUDIO_SUFFIXES:
        file = tmp_path / f"a{suffix}"
        kind = formats.get(suffix[1:], suffix[1:].upper())
        soundfile.write(file, 0.5 * noise()[:, 0], RATE, format=kind)
        assert len(read_audio(file)) == 48_000, suffix


def test_other_formats_come_with_the_command_that_converts_them(tmp_path):
    (tmp_path / "my talk.m4a").write_bytes(b"\0\0\0\x20ftypM4A " + bytes(100))
    command = conversion_hint(str(tmp_path / "my talk.m4a"))
    assert command.startswith("ffmpeg -i '") and command.endswith("my talk.flac'")
    with pytest.raises(AudioError) as caught:
        read_audio(tmp_path / "my talk.m4a")
    assert command in str(caught.value)


def test_what_cannot_be_read_is_named_with_its_place(tmp_path):
    soundfile.write(tmp_path / "short.wav", np.ones(100) * 0.1, RATE)
    with pytest.raises(AudioError, match=r"short\.wav holds no samples at 3\.0 s"):
        read_audio(tmp_path / "short.wav", RATE, 48_000, 64_000)
    nan = encoded(np.full(100, np.nan), format="WAV", subtype="FLOAT")
    with pytest.raises(AudioError, match="NaN"):
        read_audio(nan, RATE, 0, 10)


def test_seeking_in_a_long_mp3_prints_nothing_and_hides_nothing(tmp_path, capfd):
    files = sorted((sample_folder() / "test").glob("*.flac"))[:30]
    samples = np.concatenate([read_audio(file) for file in files])
    soundfile.write(tmp_path / "a.mp3", samples, 16_000, format="MP3")
    with soundfile.SoundFile(tmp_path / "a.mp3") as file:
        for place in range(100_000, 1_000_000, 100_000):
            file.seek(place)
            file.read(1)
    assert "libmpg123" in capfd.readouterr().err  # what is to be kept away
    for start in range(100_000, 1_000_000, 100_000):
        assert len(read_audio(tmp_path / "a.mp3", start=start, stop=start + 100)) == 100
    assert capfd.readouterr().err == ""
    with soundfile.SoundFile(tmp_path / "a.mp3") as file, without_decoder_lines(file):
        os.write(2, b"of somebody else\n")
    assert capfd.readouterr().err == "of somebody else\n"
