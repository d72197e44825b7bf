"""Open audio files: their real length, parts read by seeking, and headers that do not say it.

libsndfile reads; what it cannot read is told with the command that converts it.
"""

from __future__ import annotations

import contextlib
import io
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
import soundfile

# What the bundled libsndfile reads; formats of samplers and of MATLAB are no recordings.
AUDIO_SUFFIXES = (
    ".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif", ".au", ".oga", ".wave", ".caf",
    ".w64", ".rf64", ".bwf", ".sph", ".nist", ".aifc", ".snd", ".mp2", ".voc", ".avr", ".ircam",
    ".sf", ".paf", ".pvf", ".svx", ".8svx", ".iff",
)  # fmt: skip
FOREIGN_SUFFIXES = (
    ".m4a", ".mp4", ".m4b", ".aac", ".webm", ".mka", ".mkv", ".mov", ".avi", ".wma", ".amr", ".awb",
    ".3gp", ".3ga", ".ac3", ".ape", ".wv", ".tta", ".spx", ".shn", ".dsf", ".ra", ".weba",
)  # fmt: skip
RATES = (2_000, 768_000)  # Hz; a header that says another rate is damaged
BLOCK = 1 << 20  # frames decoded at a time: a header may announce more than there is memory
UNKNOWN_FRAMES = 1 << 40  # streamed files announce 0 or 2**63 - 1 samples
SILENCE = 2e-4  # peak to peak: below it even the dither of 16-bit silence stays
LARGEST_PEAK = 32.0  # 30 dB above full scale; 16-bit integers written as floats lie above
FLAC_BYTES = {"PCM_S8": 1, "PCM_16": 2, "PCM_24": 3}  # of one sample that is not compressed
FLAC_OVERHEAD = 1 << 14  # bytes of frame headers
RAW_FORMATS = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "NIST")
EXACT_SUBTYPES = ("PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "ULAW", "ALAW")
LONG_SECONDS = 60.0  # beyond it parts are read by seeking although that is not exact or not quiet
RUN_IN = 16_000  # frames that Ogg and MP3 decode before a part: their decoders remember what was
FAILURES = (soundfile.LibsndfileError, OSError, RuntimeError, TypeError, ValueError)


class AudioError(ValueError):
    """An audio file could not be read; the message names it and says what to do."""


@dataclass(frozen=True)
class FileLength:
    """How much a file holds.

    Attributes:
        frames: samples of one channel, counted where the header does not say it.
        rate: in Hz.
        seekable: parts are read by seeking.
        run_in: frames to decode before a part.
    """

    frames: int
    rate: int
    seekable: bool
    run_in: int = 0


class _Streamed(soundfile.SoundFile):
    """A file that is read on and on.

    soundfile seeks after each read: a wrong length breaks that, and decoders lose their state.
    """

    def seekable(self) -> bool:
        """Keep soundfile from seeking."""
        return False


def conversion_hint(name: str) -> str:
    """Return the command that turns a file into one that can be read."""
    target = PurePath(name).with_suffix(".flac")
    return f"ffmpeg -i {shlex.quote(name)} -ac 1 -ar 16000 {shlex.quote(str(target))}"


def source_name(source: object) -> str:
    """Name an audio source for messages: its path where it has one."""
    if isinstance(source, Mapping):
        return str(source.get("path") or "<audio bytes>")
    if isinstance(source, str | Path):
        return str(source)
    if isinstance(getattr(source, "name", None), str):  # an open file
        return source.name
    return "<audio bytes>" if isinstance(source, bytes | bytearray) else "<audio>"


def open_source(source: object) -> str | io.BytesIO:
    """Return what soundfile can open: a path, or a file in memory.

    Raises:
        FileNotFoundError: there is no such file; libsndfile would say "System error".
        TypeError: an open file was opened as text.
    """
    if isinstance(source, Mapping):
        source = source.get("bytes") or source.get("path") or ""
    if hasattr(source, "read"):
        return io.BytesIO(_bytes_of(source))
    if isinstance(source, bytes | bytearray | memoryview):
        return io.BytesIO(source)
    if not Path(source).is_file():
        raise FileNotFoundError("there is no such file" if source else "no file is named")
    return str(source)


def _bytes_of(file: io.IOBase) -> bytes:
    """Read an open file from where it stands, and leave it there if that is possible."""
    place = file.tell() if file.seekable() else None
    data = file.read()
    if place is not None:
        file.seek(place)
    if not isinstance(data, bytes):
        raise TypeError("it was opened as text; expected open(path, 'rb')")
    return data


def file_length(source: object) -> FileLength:
    """Return how much a file holds, from its header where that can be believed.

    A header that says nothing, or more than there is, costs one decoding in blocks.

    Raises:
        AudioError: the file cannot be read, or has an absurd sampling rate.
    """
    with _opened(source) as file:
        if _is_believed(file) and not _is_understated(file, source):
            run_in = RUN_IN if file.format in ("OGG", "MP3") else 0
            return FileLength(file.frames, file.samplerate, _has_parts(file), run_in)
    with _opened(source, _Streamed, repaired=True) as file:
        return FileLength(sum(map(len, _blocks(file))), file.samplerate, seekable=False)


def decode(
    source: object, start: int = 0, stop: int | None = None, length: FileLength | None = None
) -> tuple[np.ndarray, int]:
    """Return the mean over channels (samples,) float32, and the rate in Hz.

    Args:
        source: a path, encoded bytes, an open file, or a cell with "path" or "bytes".
        start: first frame.
        stop: frame after the last one; None: to the end.
        length: of `file_length`, where it is known.

    Raises:
        AudioError: the file cannot be read, or holds values that are no samples.
    """
    length = length or file_length(source)
    stop = length.frames if stop is None else min(stop, length.frames)
    with _opened(source, _Streamed, repaired=not length.seekable) as file:
        if length.seekable:
            start = min(start, length.frames)
            file.seek(max(0, start - length.run_in))
            for _ in _blocks(file, min(start, length.run_in)):
                pass
            parts = list(_blocks(file, max(0, stop - start)))
        else:
            parts = [np.concatenate([*_blocks(file, stop), np.zeros(0, np.float32)])[start:]]
    waveform = np.concatenate(parts) if parts else np.zeros(0, np.float32)
    check_samples(waveform, source_name(source))
    return waveform, length.rate


def check_samples(waveform: np.ndarray, name: str) -> None:
    """Refuse values that are no audio.

    Raises:
        AudioError: NaN, infinite, or far beyond full scale.
    """
    peak = float(np.abs(waveform).max()) if waveform.size else 0.0
    if not np.isfinite(peak):
        raise AudioError(f"{name} holds NaN or infinite samples; write it again as 16-bit audio.")
    if peak > LARGEST_PEAK:
        raise AudioError(
            f"{name} holds samples up to {peak:.4g}; expected floats within -1 and 1: divide "
            "16-bit integers by 32768 and write it again."
        )


def check_audible(waveform: np.ndarray, name: str) -> None:
    """Refuse digital silence or a constant.

    Raises:
        AudioError: the waveform (samples,) does not move.
    """
    if len(waveform) and np.ptp(waveform) < SILENCE:
        raise AudioError(f"{name} is silent; remove it or record it again.")


@contextlib.contextmanager
def _opened(
    source: object, kind: type = soundfile.SoundFile, repaired: bool = False
) -> Iterator[soundfile.SoundFile]:
    """Open a file for reading; whatever fails meanwhile is told by its name.

    Raises:
        AudioError: see above.
    """
    name = source_name(source)
    try:
        with kind(_repaired(source) if repaired else open_source(source)) as file:
            if not RATES[0] <= file.samplerate <= RATES[1]:
                raise AudioError(
                    f"{name} says that it has {file.samplerate} Hz; expected {RATES[0]} to "
                    f"{RATES[1]} Hz: its header is damaged, write it again."
                )
            yield file
    except AudioError:
        raise
    except FAILURES as error:
        advice = "; expected a wav, flac, ogg or mp3 file: replace or remove it."
        if isinstance(error, FileNotFoundError):
            advice = ": restore it, or take it out of the corpus."
        elif PurePath(name).suffix.lower() in FOREIGN_SUFFIXES:
            advice = f": convert it with {conversion_hint(name)}"
        raise AudioError(f"{name} could not be read as audio ({error}){advice}") from error


def _blocks(file: soundfile.SoundFile, frames: int | None = None) -> Iterator[np.ndarray]:
    """Decode `frames` frames, or all there are, as mono blocks (samples,) float32."""
    left = UNKNOWN_FRAMES if frames is None else frames
    while left > 0:
        size = min(BLOCK, left)
        block = file.read(size, dtype="float32", always_2d=True)  # (samples, channels)
        yield block.mean(axis=1)
        left = left - size if len(block) == size else 0


def _is_believed(file: soundfile.SoundFile) -> bool:
    """Say whether as much can be read as the header announces.

    libsndfile corrects most formats by the size of the file, but not FLAC and MP3.
    """
    if not file.seekable() or not 0 < file.frames < UNKNOWN_FRAMES:
        return False
    if file.format not in ("FLAC", "MP3"):
        return True
    try:
        file.seek(file.frames - 1)
        return len(file.read(1)) == 1
    except soundfile.LibsndfileError:
        return False


def _has_parts(file: soundfile.SoundFile) -> bool:
    """Say whether parts are read by seeking.

    They are where that gives the samples of the whole. In long files they are too for Opus (0.01
    of full scale off: its decoder remembers), for MP3 (libmpg123 prints at every seek) and for
    floats (only the whole shows that its values are integers).
    """
    raw = file.format in RAW_FORMATS and file.subtype in EXACT_SUBTYPES
    if raw or file.format == "FLAC" or (file.format, file.subtype) == ("OGG", "VORBIS"):
        return True
    known = file.format in ("OGG", "MP3") or file.subtype in ("FLOAT", "DOUBLE")
    return known and file.frames > LONG_SECONDS * file.samplerate


def _is_understated(file: soundfile.SoundFile, source: object) -> bool:
    """Say whether a FLAC file is larger than its announced samples would be without compression."""
    if file.format != "FLAC" or file.frames * file.channels > 1 << 24:
        return False
    handle = open_source(source)
    size = Path(handle).stat().st_size if isinstance(handle, str) else len(handle.getbuffer())
    most = FLAC_BYTES.get(file.subtype, 4) * file.frames * file.channels + FLAC_OVERHEAD
    if size <= most:
        return False
    with open(handle, "rb") if isinstance(handle, str) else handle as stream:
        return size - _flac_audio_start(stream) > most


def _flac_audio_start(stream: io.BufferedIOBase) -> int:
    """Return where the audio of a FLAC file begins: pictures may lie before it."""
    stream.seek(4)
    place, last = 4, False
    while not last:
        header = stream.read(4)  # last-block flag and type, three bytes of length
        if len(header) < 4:
            break
        last = bool(header[0] & 0x80)
        place += 4 + int.from_bytes(header[1:], "big")
        stream.seek(place)
    return place


def _repaired(source: object) -> str | io.BytesIO:
    """Return a file whose header announces no length, so that it is read to its real end."""
    handle = open_source(source)
    with open(handle, "rb") if isinstance(handle, str) else contextlib.nullcontext(handle) as file:
        head = file.read(4096)
        if head[:4] == b"fLaC" and len(head) >= 42:
            # 36 bits of STREAMINFO count the samples; 0 means that nobody knows
            head = head[:21] + bytes([head[21] & 0xF0, 0, 0, 0, 0]) + head[26:]
        elif head[:4] == b"RIFF" and (place := head.find(b"data\0\0\0\0")) > 0:
            head = head[: place + 4] + b"\xff" * 4 + head[place + 8 :]
        else:
            if not isinstance(handle, str):
                handle.seek(0)
            return handle
        return io.BytesIO(head + file.read())
