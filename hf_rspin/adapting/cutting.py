"""Recordings become a corpus of short FLAC files with a table; interrupted, it goes on."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from tqdm.auto import tqdm

from hf_rspin.adapting.spans import Part, Span, cut_span
from hf_rspin.audio import SAMPLING_RATE, AudioError
from hf_rspin.data.skipped import SkippedFile, SkippedFiles
from hf_rspin.utils import read_json, write_json, write_text

TABLE = "metadata.csv"
COLUMNS = ("file_name", "id", "duration", "split", "recording", "channel", "offset")
TEST_SHARE, TEST_SECONDS = 0.1, 600.0  # held out, at most
MOST_SHARE = 0.25  # of the speech that whole recordings may cost
LEAST_RECORDINGS = 5  # so that some can be held out whole
LEAST_PARTS = 5


def cut_all(
    spans: Sequence[Span],
    folder: Path,
    channel: str,
    longest: float,
    skipped: SkippedFiles,
    workers: int = 1,
    seed: int = 0,
) -> None:
    """Cut spans and write `folder/metadata.csv` with a split train and a split test.

    The table comes last: a folder that has one is finished. Spans that are cut already are not
    cut again.

    Args:
        spans: see `draw_spans`.
        folder: for the corpus, which `load_corpus` reads.
        channel: see `choose_channels`.
        longest: part, in seconds.
        skipped: is given recordings that cannot be read.
        workers: threads.
        seed: of what is held out.

    Raises:
        AudioError: there is too little to hear.
    """
    done = folder / "spans"
    done.mkdir(parents=True, exist_ok=True)

    def cut(span: Span) -> list[dict[str, Any]] | SkippedFile:
        known = read_json(done / f"{span.name}.json")
        if known is not None:
            return known["parts"]
        try:
            parts = cut_span(span, channel, longest)
        except AudioError as error:
            return SkippedFile(str(span.recording.file), str(error))
        rows = [_write(part, folder, f"{span.name}_{n:03d}") for n, part in enumerate(parts)]
        write_json(done / f"{span.name}.json", {"parts": rows})
        return rows

    rows = []
    for found in tqdm(_in_threads(cut, spans, workers), "Cutting", len(spans), unit="span"):
        if isinstance(found, SkippedFile):
            skipped.add(found)
        else:
            rows += found
    _tell_of_silent(spans, rows, skipped)
    if len(rows) < LEAST_PARTS:
        raise AudioError(
            f"the recordings give {len(rows)} parts of a second or more that are not silent; "
            f"expected at least {LEAST_PARTS}: add recordings."
        )
    rows.sort(key=lambda row: (row["recording"], row["channel"], row["offset"]))
    for row, is_test in zip(rows, hold_out(rows, seed), strict=True):
        row["split"] = "test" if is_test else "train"
    write_text(folder / TABLE, _as_csv(rows))
    shutil.rmtree(done)


def hold_out(rows: Sequence[dict[str, Any]], seed: int = 0) -> list[bool]:
    """Say of each part whether it is held out to measure on: about a tenth, ten minutes at most.

    Whole recordings, with all their channels, where that costs no more than a quarter of the
    speech; otherwise the end of every channel of each recording, see `shares_recordings`.

    Args:
        rows: with `recording`, `channel` and `duration`, sorted by time in each channel.
        seed: of the draw.
    """
    total = sum(row["duration"] for row in rows)
    wanted = min(TEST_SHARE * total, TEST_SECONDS)
    lengths: dict[str, float] = {}
    for row in rows:
        lengths[row["recording"]] = lengths.get(row["recording"], 0.0) + row["duration"]
    names = list(lengths)
    order = np.random.default_rng(seed).permutation(len(names))
    taken: set[str] = set()
    for name in (names[index] for index in order):
        if sum(lengths[one] for one in taken) < wanted:
            taken.add(name)
    if len(names) >= LEAST_RECORDINGS and sum(lengths[n] for n in taken) <= MOST_SHARE * total:
        return [row["recording"] in taken for row in rows]
    found = _ends(rows, wanted / total)
    return found if any(found) else [index % LEAST_PARTS == 0 for index in range(len(rows))]


def _ends(rows: Sequence[dict[str, Any]], share: float) -> list[bool]:
    """Mark the last parts of every channel; a channel of one part has none to spare."""
    keys = [(row["recording"], row["channel"]) for row in rows]
    lengths, seen = dict.fromkeys(keys, 0.0), dict.fromkeys(keys, 0.0)
    for key, row in zip(keys, rows, strict=True):
        lengths[key] += row["duration"]
    found = []
    for key, row in zip(keys, rows, strict=True):
        is_first = seen[key] == 0
        seen[key] += row["duration"]
        found.append(not is_first and seen[key] > (1 - share) * lengths[key])
    return found


def shares_recordings(rows: Iterable[Mapping[str, Any]]) -> bool:
    """Say whether a recording, and so its speakers, is both trained on and held out.

    Args:
        rows: of all parts, with `recording` and `split`.
    """
    splits: dict[str, set[str]] = {}
    for row in rows:
        splits.setdefault(row["recording"], set()).add(row["split"])
    return any(len(found) > 1 for found in splits.values())


def _tell_of_silent(
    spans: Sequence[Span], rows: Sequence[dict[str, Any]], skipped: SkippedFiles
) -> None:
    """Name the recordings of which nothing is left."""
    heard = {row["recording"] for row in rows}
    for file, name in sorted({(str(s.recording.file), s.recording.name) for s in spans}):
        if name not in heard and file not in skipped.reasons:
            skipped.add(SkippedFile(file, f"{file} has nothing to hear for a second or more."))


def as_flac(waveform: np.ndarray) -> bytes:
    """Return (samples,) at 16 kHz as a FLAC file of 16 bits; what is louder is scaled, not cut."""
    buffer = io.BytesIO()
    peak = float(np.abs(waveform).max(initial=0.0))
    soundfile.write(buffer, waveform / max(1.0, peak), SAMPLING_RATE, format="FLAC")
    return buffer.getvalue()


def part_row(part: Part, file_name: str) -> dict[str, Any]:
    """Return the row of a table for a part."""
    channel = f" {part.channel}" if part.channel else ""
    return {
        "file_name": file_name, "id": f"{part.recording}{channel} at {part.start:.2f} s",
        "duration": part.seconds, "split": "train", "recording": part.recording,
        "channel": part.channel, "offset": round(part.start, 3),
    }  # fmt: skip


def _write(part: Part, folder: Path, name: str) -> dict[str, Any]:
    file = Path("audio", name[:6], f"{name}.flac")  # a folder for each recording
    (folder / file).parent.mkdir(parents=True, exist_ok=True)
    (folder / file).write_bytes(as_flac(part.waveform))
    return part_row(part, file.as_posix())


def _in_threads(function, spans: Sequence[Span], workers: int) -> Iterator:
    """Map in order with few results ahead: each holds minutes of audio until it is written."""
    with ThreadPoolExecutor(workers) as pool:
        for first in range(0, len(spans), 4 * workers):
            yield from pool.map(function, spans[first : first + 4 * workers])


def _as_csv(rows: Sequence[dict[str, Any]]) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def write_table(rows: Sequence[dict[str, Any]], folder: Path) -> Path:
    """Write `folder/metadata.csv` of rows of `part_row`."""
    return write_text(folder / TABLE, _as_csv(rows))


def cut_some(
    spans: Sequence[Span],
    channel: str,
    longest: float,
    speech_seconds: float,
    seconds_of_span: float,
    skipped: SkippedFiles,
    workers: int = 1,
) -> tuple[list[Part], float]:
    """Cut the beginnings of spans until there is enough to hear.

    Returns:
        The parts, and how many seconds of recordings were read for them.
    """
    parts: list[Part] = []
    read = 0.0
    cut = partial(_cut_or_skip, channel=channel, longest=longest, seconds=seconds_of_span)
    for span, found in zip(spans, _in_threads(cut, spans, workers), strict=False):
        if isinstance(found, SkippedFile):
            skipped.add(found)
            continue
        parts += found
        read += min(span.stop - span.start, seconds_of_span)
        if sum(part.seconds for part in parts) >= speech_seconds:
            break
    return parts, read


def _cut_or_skip(span: Span, channel: str, longest: float, seconds: float):
    try:
        return cut_span(span, channel, longest, seconds)
    except AudioError as error:
        return SkippedFile(str(span.recording.file), str(error))
