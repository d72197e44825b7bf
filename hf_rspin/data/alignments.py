"""Times of phones and words, from wherever a corpus has them, become columns of it."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import datasets
from tqdm import tqdm

from hf_rspin.audio import AudioError
from hf_rspin.data.alignment_files import FilesBeside, UtteranceTimes, read_files
from hf_rspin.data.folders import ALIGNMENTS
from hf_rspin.data.phone_times import Segment, alignment_text, segments_within
from hf_rspin.data.segment_columns import SegmentColumns
from hf_rspin.data.tables import PATH_COLUMNS, damage_named, set_column

logger = logging.getLogger(__name__)

TOLERATED = 0.1  # seconds by which times may end after the audio; they are cut there
PROGRESS_FROM = 2_000  # utterances; a bar for fewer would only flicker
UNKNOWN = UtteranceTimes([], [])


def with_alignments(
    table: datasets.Dataset, kept: Sequence[int], seconds: Sequence[float], source: object = None
) -> datasets.Dataset:
    """Add `alignment`, `word_alignment` and `alignment_score` where something says the times.

    Both are text as `parse_alignment` reads it; what lies between two phones is silence. Of an
    utterance the first of these that has it is read, for phones and words alike:

    1. the columns `segments` and `word_segments`, see `SegmentColumns`;
    2. its line in `alignments.jsonl` in the folder: a JSON object with `file_name` (as in the
       table, or relative to the folder), `phones`, `phone_starts`, `phone_ends` in seconds,
       perhaps `words`, `word_starts`, `word_ends` (these may stand alone) and perhaps `score`;
       more is not read;
    3. a TextGrid beside the audio, with the same stem, see `read_textgrid`;
    4. .phn and .wrd beside the audio, see `read_timit`.

    A column `alignment` or `word_alignment` of the table is kept as it is. Times in files are those
    of the whole file; rows that are parts of it get their part. Segments that last no time are left
    out, ends up to 0.1 s after the audio are cut. Where times end later, or a file beside the audio
    cannot be read, the utterance has none and one warning says so.

    Args:
        table: with a column `audio`, not decoded; all rows.
        kept: rows that get times; the others stay empty.
        seconds: durations of these.
        source: the folder or table that it was read from, where it is one.

    Raises:
        ValueError: a line of `alignments.jsonl` or a cell of the columns is damaged.
    """
    wanted = {"alignment", "word_alignment"} - set(table.column_names)
    if not wanted:
        return table
    source = source if isinstance(source, str | Path) else "the data set"
    lines = _lines_of(table, Path(source))
    texts = {name: [""] * len(table) for name in wanted}
    scores: list[float | None] = [None] * len(table)
    problems: list[str] = []
    found = _times(table, kept, lines, source, problems)
    for row, duration, (name, times) in zip(kept, seconds, found, strict=True):
        try:
            columns = _columns(times, duration)
        except ValueError as error:
            problems.append(f"those of {name}: {error}")
            continue
        scores[row] = times.score
        for column in wanted:
            texts[column][row] = columns[column]
    _tell(problems, source)
    if "alignment" in wanted and lines is not None:
        table = set_column(table, "alignment_score", scores, datasets.Value("float64"))
    for name in sorted(wanted):
        if any(texts[name]) or (name == "alignment" and lines is not None):
            table = set_column(table, name, texts[name], datasets.Value("string"))
    return table


def _columns(times: UtteranceTimes, duration: float) -> dict[str, str]:
    return {
        "alignment": as_text(times.phones, duration),
        "word_alignment": as_text(times.words, duration),
    }


def _tell(problems: list[str], source: str | Path) -> None:
    if problems:
        logger.warning(
            "%s: the times of %d utterances cannot be used and are left out, such as: %s",
            source, len(problems), problems[0],
        )  # fmt: skip


def as_text(segments: Sequence[Segment], duration: float) -> str:
    """Return the text of segments of an utterance, cut at its end.

    Raises:
        ValueError: they end more than 0.1 s after the audio, or see `alignment_text`.
    """
    last = max((one.end for one in segments), default=0.0)
    if not last <= duration + TOLERATED:
        raise ValueError(
            f"{segments[-1].phone} ends at {last:.3f} s, but the audio at {duration:.3f} s: are "
            "these times of other audio, or samples of another rate?"
        )
    inside = [one for one in segments if one.start < duration]
    columns = zip(*((one.phone, one.start, min(one.end, duration)) for one in inside), strict=True)
    return alignment_text(*columns, duration) if inside else ""


def _lines_of(table: datasets.Dataset, source: Path) -> list[UtteranceTimes | None] | None:
    """Return what `alignments.jsonl` says of each row; None where there is no such file."""
    file = (source.parent if source.is_file() else source) / ALIGNMENTS
    column = next((name for name in PATH_COLUMNS if name in table.column_names), None)
    if column is None or not file.is_file():
        return None
    found = read_alignments(file)
    return [found.get(str(name)) for name in table[column]]


def _times(
    table: datasets.Dataset,
    kept: Sequence[int],
    lines: list[UtteranceTimes | None] | None,
    source: str | Path,
    problems: list[str],
) -> Iterator[tuple[str, UtteranceTimes]]:
    """Yield a name and the times of each kept row, from the first source that has them."""
    in_table = SegmentColumns(table, source)
    beside = FilesBeside()
    rows = table.select_columns("audio").select(kept)
    in_files = not (rows[0]["audio"] or {}).get("bytes")  # else no audio is read here
    cells = (row["audio"] or {} for row in rows) if in_files else ({} for _ in kept)
    pairs = zip(kept, cells, strict=True)
    for row, cell in tqdm(pairs, "Reading times", len(kept), disable=len(kept) < PROGRESS_FROM):
        times = in_table(row)
        if not (times.phones or times.words):
            line = lines[row] if lines is not None else None
            times = _part(line or _beside(beside, cell, problems), cell)
        yield cell.get("path") or f"row {row}", times


def _beside(beside: FilesBeside, cell: dict, problems: list[str]) -> UtteranceTimes:
    path = Path(cell.get("path") or "")
    files = beside(path) if path.name and not cell.get("bytes") else {}
    try:
        return read_files(files, path) if files else UNKNOWN
    except (ValueError, AudioError) as error:
        problems.append(str(error))
        return UNKNOWN


def _part(times: UtteranceTimes, cell: dict) -> UtteranceTimes:
    """Return the times within a row that is a part of its file, from the start of the part."""
    start, stop = cell.get("start") or 0.0, cell.get("stop")
    if not start and stop is None:
        return times
    stop = math.inf if stop is None else stop
    phones, words = (
        segments_within(segments, start, stop) for segments in (times.phones, times.words)
    )
    return UtteranceTimes(phones, words, times.score)


def read_alignments(file: Path) -> dict[str, UtteranceTimes]:
    """Return the lines of `alignments.jsonl` by file name.

    Raises:
        ValueError: a line is damaged or its times are.
    """
    found = {}
    with damage_named(file):
        lines = file.read_text(encoding="utf-8-sig").splitlines()
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                entry = json.loads(line)
                found[entry["file_name"]] = _parse(entry)
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                raise ValueError(f"line {number}: {type(error).__name__} {error}") from error
    return found


def _parse(entry: dict[str, Any]) -> UtteranceTimes:
    has_words = "word_starts" in entry
    words = _segments(entry, "word") if has_words else []
    phones = _segments(entry, "phone") if "phones" in entry or not has_words else []
    score = entry.get("score")
    return UtteranceTimes(phones, words, None if score is None else float(score))


def _segments(entry: dict[str, Any], kind: str) -> list[Segment]:
    names = (f"{kind}s", f"{kind}_starts", f"{kind}_ends")
    labels, starts, ends = (entry[name] for name in names)
    starts, ends = ([float(seconds) for seconds in times] for times in (starts, ends))
    alignment_text(labels, starts, ends)  # refuses times that are not in order
    rows = zip(starts, ends, labels, strict=True)
    return [Segment(*row) for row in rows if row[0] != row[1]]
