"""What the header of an audio file says, and whether it can be believed."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import soundfile

from hf_rspin.audio_members import is_member, read_member

UNKNOWN_FRAMES = 1 << 40  # streamed files announce 0 or 2**63 - 1 samples
FLAC_BYTES = {"PCM_S8": 1, "PCM_16": 2, "PCM_24": 3}  # of one sample that is not compressed
FLAC_OVERHEAD = 1 << 14  # bytes of frame headers
RAW_FORMATS = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "NIST")
EXACT_SUBTYPES = ("PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "ULAW", "ALAW")
_STDERR = threading.Lock()
LONG_SECONDS = 60.0  # beyond it parts are read by seeking although that is not exact or not quiet


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
    if is_member(source):
        return io.BytesIO(read_member(source))
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


@contextlib.contextmanager
def without_decoder_lines(file: soundfile.SoundFile) -> Iterator[None]:
    """Keep libmpg123 from writing a line to stderr at every seek into an MP3 file.

    It writes from C, and soundfile cannot tell it not to. What others write meanwhile comes after.
    """
    if file.format != "MP3":
        yield
        return
    with _STDERR, tempfile.TemporaryFile() as caught:
        kept = os.dup(2)
        os.dup2(caught.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            caught.seek(0)
            os.write(2, b"".join(line for line in caught if b"libmpg123" not in line))


def is_believed(file: soundfile.SoundFile) -> bool:
    """Say whether as much can be read as the header announces.

    libsndfile corrects most formats by the size of the file, but not FLAC and MP3.
    """
    if not file.seekable() or not 0 < file.frames < UNKNOWN_FRAMES:
        return False
    if file.format not in ("FLAC", "MP3"):
        return True
    try:
        with without_decoder_lines(file):
            file.seek(file.frames - 1)
            return len(file.read(1)) == 1
    except soundfile.LibsndfileError:
        return False


def has_parts(file: soundfile.SoundFile) -> bool:
    """Say whether parts are read by seeking.

    They are where that gives the samples of the whole. In long files they are too for Opus (0.01
    of full scale off: its decoder remembers), for MP3 (a seek decodes a second more) and for floats
    (only the whole shows that its values are integers).
    """
    raw = file.format in RAW_FORMATS and file.subtype in EXACT_SUBTYPES
    if raw or file.format == "FLAC" or (file.format, file.subtype) == ("OGG", "VORBIS"):
        return True
    known = file.format in ("OGG", "MP3") or file.subtype in ("FLOAT", "DOUBLE")
    return known and file.frames > LONG_SECONDS * file.samplerate


def is_understated(file: soundfile.SoundFile, source: object) -> bool:
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


def without_length(source: object) -> str | io.BytesIO:
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
