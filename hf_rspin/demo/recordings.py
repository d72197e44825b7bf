"""What the page listens to: a file of the visitor, or an utterance of the bundled sample."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from hf_rspin.audio import (
    SAMPLING_RATE,
    AudioError,
    audio_length,
    check_audible,
    num_frames,
    read_audio,
)
from hf_rspin.resources import sample_folder

LONGEST = 30  # seconds


def sample_utterances(split: str = "test") -> dict[str, Path]:
    """Return what is said and by whom -> file, of one split of the bundled sample."""
    folder = sample_folder()
    with open(folder / "metadata.csv", encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == split]
    return {f"{row['text']} ({row['speaker']}, {row['gender']})": folder / row["file_name"]
            for row in rows}  # fmt: skip


def read_recording(path: str | Path) -> tuple[np.ndarray, str]:
    """Read the first 30 s of a file, and say where that is not all of it.

    Returns:
        (samples,) float32 at 16 kHz, and a sentence or "".

    Raises:
        AudioError: it is not audio, silent, or shorter than one frame (25 ms).
    """
    path = Path(path)
    try:
        whole, _ = audio_length(path)
        waveform = read_audio(path, stop=LONGEST * SAMPLING_RATE)
        check_audible(waveform, path.name)
    except AudioError as error:  # visitors know the name of their file, not where it was put
        raise AudioError(str(error).replace(f"{path.parent}/", "")) from error
    if num_frames(len(waveform)) == 0:
        raise AudioError(f"{path.name} is shorter than one frame (25 ms): choose a longer one.")
    if whole <= LONGEST * SAMPLING_RATE:
        return waveform, ""
    return waveform, (
        f"The recording lasts {whole / SAMPLING_RATE:.0f} s; the first {LONGEST} s are used."
    )
