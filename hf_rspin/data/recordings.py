"""Recordings of any length become short rows: what the quickstart makes of a user's audio."""

from __future__ import annotations

import math
from pathlib import Path

import datasets
import numpy as np
import soundfile
from tqdm.auto import tqdm

from hf_rspin.audio import SAMPLING_RATE, AudioError, audio_name, check_audible, read_audio
from hf_rspin.data.skipped import SkippedFile, SkippedFiles


def cut_recordings(
    corpus: datasets.Dataset,
    folder: str | Path,
    most_seconds: float,
    segment_seconds: float = 12.0,
    min_seconds: float = 1.0,
    seed: int = 0,
    skipped: SkippedFiles | None = None,
) -> datasets.Dataset:
    """Cut recordings of any length into equal parts and write a random choice of them.

    Attention costs the square of the length, and an hour in one row cannot be held out in part:
    what trains and measures wants short rows.

    Args:
        corpus: columns `id`, `audio` and `duration`; `speaker` is kept, what belongs to whole
            recordings (text, phones, alignments) is not.
        folder: where the parts go, FLAC at 16 kHz; files of an earlier call are overwritten.
        most_seconds: parts are drawn at random up to this duration.
        segment_seconds: greatest length of a part.
        min_seconds: shorter parts are left out.
        seed: of the draw.
        skipped: is given what cannot be read or is silent, for a summary.

    Returns:
        The parts in random order, columns `id`, `audio`, `duration` and maybe `speaker`.
    """
    skipped = SkippedFiles() if skipped is None else skipped
    parts = _choose(corpus["duration"], segment_seconds, most_seconds, seed)
    columns = [c for c in ("id", "audio", "speaker") if c in corpus.column_names]
    corpus, rows = corpus.select_columns(columns), []
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for number, (row, start, seconds) in enumerate(tqdm(parts, desc="Cutting", unit="part")):
        cell = corpus[row]
        try:
            first, count = round(start * SAMPLING_RATE), round(seconds * SAMPLING_RATE)
            waveform = read_audio(cell["audio"], start=first, stop=first + count)
            check_audible(waveform, f"{audio_name(cell['audio'])} at {start:.1f} s")
        except AudioError as error:
            skipped.add(SkippedFile(audio_name(cell["audio"]), str(error)))  # once for a file
            continue
        if len(waveform) < min_seconds * SAMPLING_RATE:
            continue
        cell["id"] = f"{cell['id']} at {start:.2f} s"
        cell["duration"] = len(waveform) / SAMPLING_RATE
        cell["audio"] = str(_write(folder / f"{number:05d}.flac", waveform))
        rows.append(cell)
    names = [*columns, "duration"]
    cut = datasets.Dataset.from_dict({name: [row[name] for row in rows] for name in names})
    return cut.cast_column("audio", datasets.Audio(decode=False))


def _choose(
    durations: list[float], segment_seconds: float, most_seconds: float, seed: int
) -> list[tuple[int, float, float]]:
    """Draw (row, start, seconds) of equal parts of each recording, `most_seconds` in all."""
    parts = []
    for row, duration in enumerate(durations):
        count = max(1, math.ceil(duration / segment_seconds))
        parts += [(row, i * duration / count, duration / count) for i in range(count)]
    order = np.random.default_rng(seed).permutation(len(parts))
    parts = [parts[index] for index in order]
    total = np.cumsum([seconds for *_, seconds in parts])
    return parts[: max(1, int(np.searchsorted(total, most_seconds, side="right")))]


def _write(file: Path, waveform: np.ndarray) -> Path:
    peak = float(np.abs(waveform).max())
    soundfile.write(file, waveform / max(1.0, peak), SAMPLING_RATE)  # 16 bits: louder would clip
    return file
