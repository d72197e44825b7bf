"""What tells the audio of a corpus from other audio under the same names."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from hf_rspin.audio import AudioError, read_audio
from hf_rspin.audio_members import is_member, read_member

SAMPLED, SAMPLED_BYTES = 16, 65_536  # recordings, and of each, that are looked at
WHOLE_BYTES = 2**20  # recordings up to this size count as wholes in `audio_keys`
BLOCKS, BLOCK_BYTES = 64, 4_096  # of longer ones that stand for their content there
PROGRESS_FROM = 5_000  # recordings


def audio_key(recordings: Sequence[Any], sampled: int | None = SAMPLED) -> str:
    """Return a hash of the content of recordings, wherever they lie: of 16, spread evenly.

    Other audio under the same names and of the same length, such as a corpus with noise added,
    has another one. Of each, 64 KiB from the middle count.

    Args:
        recordings: paths, bytes, cells or arrays.
        sampled: how many count; None: all.
    """
    digest = hashlib.sha256()
    count = len(recordings) if sampled is None else sampled
    for row in np.unique(np.linspace(0, len(recordings) - 1, count).astype(int)):
        digest.update(_middle_of(recordings[int(row)]))
    return digest.hexdigest()[:16]


def audio_keys(recordings: Sequence[Any]) -> list[str | None]:
    """Return a hash of the content of each recording; None of one that cannot be read.

    Of files above 1 MiB their size and 64 blocks of 4 KiB count, spread evenly: a change
    of all of a recording (noise, a codec, another speaker) changes its hash, whatever it is called.
    A part of a file has a hash of its own.

    Args:
        recordings: paths, bytes, cells or arrays.
    """
    hidden = len(recordings) < PROGRESS_FROM
    return [_key(one) for one in tqdm(recordings, "Reading audio", disable=hidden)]


def same_audio(one: Any, other: Any) -> bool:
    """Say whether two recordings hold the same bytes, and are the same part of them."""
    keys = [_key(recording, whole=True) for recording in (one, other)]
    return keys[0] is not None and keys[0] == keys[1]


def _key(recording: Any, whole: bool = False) -> str | None:
    held = _held(recording)
    if held == b"":
        return None
    digest = hashlib.sha256()
    if isinstance(recording, Mapping):
        place = [recording.get("start"), recording.get("stop")]
        digest.update(repr(place).encode() if place != [None, None] else b"")
    if isinstance(held, str | Path):
        try:
            with open(held, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                digest.update(str(size).encode())
                if whole or size <= WHOLE_BYTES:
                    while block := file.read(WHOLE_BYTES):
                        digest.update(block)
                else:
                    for first in _block_starts(size):
                        file.seek(first)
                        digest.update(file.read(BLOCK_BYTES))
        except (OSError, ValueError):
            return None  # those who read it say so
    else:
        digest.update(held)
    return digest.hexdigest()[:16]


def _block_starts(size: int) -> list[int]:
    """Return where the blocks begin: the first at the start, the last at the end."""
    last = max(0, size - BLOCK_BYTES)
    return sorted({last * number // (BLOCKS - 1) for number in range(BLOCKS)})


def _middle_of(recording: Any) -> bytes:
    held = _held(recording)
    if isinstance(held, str | Path):
        try:
            with open(held, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                file.seek(max(0, size - SAMPLED_BYTES) // 2)
                return file.read(SAMPLED_BYTES)
        except (OSError, ValueError):
            return b""  # training skips it and says so
    first = max(0, len(held) - SAMPLED_BYTES) // 2
    return held[first : first + SAMPLED_BYTES]


def _held(recording: Any) -> str | Path | bytes:
    """Return the path of a recording, or its bytes; none of what cannot be read."""
    is_cell = isinstance(recording, Mapping)
    if is_cell and recording.get("array") is not None:  # decoded by `datasets`: its path is a name
        return np.asarray(recording["array"], dtype=np.float32).tobytes()
    held = recording.get("bytes") or recording.get("path") if is_cell else recording
    if held is None:
        return b""
    if is_member(held):
        try:
            return bytes(read_member(held))
        except OSError:
            return b""
    if isinstance(held, str | Path):
        return held
    if isinstance(held, bytes | bytearray):
        return bytes(held)
    try:
        return read_audio(recording).tobytes()
    except AudioError:
        return b""
