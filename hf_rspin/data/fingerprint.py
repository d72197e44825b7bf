"""What tells the audio of a corpus from other audio under the same names."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hf_rspin.audio import AudioError, read_audio
from hf_rspin.audio_members import is_member, read_member

SAMPLED, SAMPLED_BYTES = 16, 65_536  # recordings, and of each, that are looked at


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


def _middle_of(recording: Any) -> bytes:
    is_cell = isinstance(recording, Mapping)
    held = recording.get("bytes") or recording.get("path") if is_cell else recording
    if is_member(held):
        try:
            held = read_member(held)
        except OSError:
            return b""
    if isinstance(held, str | Path):
        try:
            with open(held, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                file.seek(max(0, size - SAMPLED_BYTES) // 2)
                return file.read(SAMPLED_BYTES)
        except (OSError, ValueError):
            return b""  # training skips it and says so
    if not isinstance(held, bytes | bytearray):
        try:
            held = read_audio(recording).tobytes()
        except AudioError:
            return b""
    first = max(0, len(held) - SAMPLED_BYTES) // 2
    return bytes(held[first : first + SAMPLED_BYTES])
