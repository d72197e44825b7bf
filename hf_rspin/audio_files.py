"""Open audio files: their real length, parts read by seeking, and headers that do not say it.

libsndfile reads; what it cannot read is told with the command that converts it.
"""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
import soundfile

from hf_rspin.audio_headers import (
    UNKNOWN_FRAMES,
    has_parts,
    is_believed,
    is_understated,
    open_source,
    without_decoder_lines,
    without_length,
)

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
SILENCE = 2e-4  # peak to peak: below it even the dither of 16-bit silence stays
LARGEST_PEAK = 32.0  # 30 dB above full scale; 16-bit integers written as floats lie above
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


def file_length(source: object) -> FileLength:
    """Return how much a file holds, from its header where that can be believed.

    A header that says nothing, or more than there is, costs one decoding in blocks.

    Raises:
        AudioError: the file cannot be read, or has an absurd sampling rate.
    """
    with _opened(source) as file:
        if is_believed(file) and not is_understated(file, source):
            run_in = RUN_IN if file.format in ("OGG", "MP3") else 0
            return FileLength(file.frames, file.samplerate, has_parts(file), run_in)
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
            with without_decoder_lines(file):
                file.seek(max(0, start - length.run_in))
                for _ in _blocks(file, min(start, length.run_in)):
                    pass
            parts = list(_blocks(file, max(0, stop - start)))
        else:
            parts = [np.concatenate([*_blocks(file, stop), np.zeros(0, np.float32)])[start:]]
    waveform = np.concatenate(parts) if parts else np.zeros(0, np.float32)
    check_samples(waveform, source_name(source))
    return waveform, length.rate


def decode_channels(
    source: object, start: int = 0, stop: int | None = None, length: FileLength | None = None
) -> np.ndarray:
    """Return frames `start` to `stop` of all channels, (samples, channels) float32.

    Args:
        source: see `decode`.
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
            with without_decoder_lines(file):
                file.seek(max(0, start - length.run_in))
                _channels(file, min(start, length.run_in))
            samples = _channels(file, max(0, stop - start))
        else:
            samples = _channels(file, stop)[start:]
    check_samples(samples, source_name(source))
    return samples


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
        with kind(without_length(source) if repaired else open_source(source)) as file:
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
            advice = ": correct the path, or take it out of the corpus."
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


def _channels(file: soundfile.SoundFile, frames: int) -> np.ndarray:
    """Decode up to `frames` frames, (samples, channels) float32, in blocks."""
    parts = [np.zeros((0, file.channels), np.float32)]
    left = frames
    while left > 0:
        size = min(BLOCK, left)
        parts.append(file.read(size, dtype="float32", always_2d=True))
        left = left - size if len(parts[-1]) == size else 0
    return np.concatenate(parts)
