"""A folder of audio, a table or a Hub dataset becomes one `datasets.Dataset`."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

import datasets
import numpy as np
from tqdm import tqdm

from hf_rspin.audio import (
    AUDIO_SUFFIXES,
    FRAME_WINDOW,
    SAMPLING_RATE,
    AudioError,
    audio_duration,
    audio_name,
    read_audio,
)
from hf_rspin.data.skipped import NAMELESS, SkipLog, SkippedFile
from hf_rspin.data.tables import read_table

logger = logging.getLogger(__name__)

ONE_FRAME = FRAME_WINDOW / SAMPLING_RATE  # seconds; the encoder gives nothing for less
SILENCE = 2e-4  # peak to peak: below it even the dither of 16-bit silence stays
PROGRESS_FROM = 2_000  # files; a bar for fewer would only flicker


def load_corpus(
    source: str | Path,
    split: str | None = None,
    *,
    min_seconds: float = ONE_FRAME,
    decode: bool = False,
    strict: bool = False,
    skipped: SkipLog | None = None,
) -> datasets.Dataset:
    """Load `source` with the columns `id`, `audio` (undecoded) and `duration` in seconds.

    Every other column of the source stays. A file that is missing, empty, damaged, too short or
    (with `decode`) silent is left out with one warning that names it.

    Args:
        source: a folder of audio; a folder with metadata.csv / .parquet / .jsonl (column
            `file_name`) or parquet shards; such a table; or a Hub dataset as `owner/name` or
            `owner/name:configuration`, which need not be of audio decoded by `datasets`.
        split: keep the rows whose `split` column says so; for a Hub dataset the split to load.
        min_seconds: the shortest utterance to keep; at least one encoder frame.
        decode: read every file to its end, which finds damaged and silent ones now instead of in
            training, where they are skipped too.
        strict: stop at the first such file.
        skipped: is given the skipped files, for a summary.

    Raises:
        ValueError: nothing usable in `source`, or two rows with the same id.
        AudioError: a bad file, when `strict`.
    """
    skipped = SkipLog(strict) if skipped is None else skipped
    table, wanted = read_table(source, split)
    _check_rows(table, wanted, source)
    rows = table.select(wanted) if len(wanted) < len(table) else table
    probes = _probe_rows(rows, max(min_seconds, ONE_FRAME), decode)
    kept, seconds, names = [], [], []
    for row, (duration, name, reason) in zip(wanted, probes, strict=True):
        place = f"row {row} of {source}"
        if reason:
            skipped.add(SkippedFile(name or place, reason.replace(NAMELESS, place)))
            continue
        kept.append(row)
        seconds.append(duration)
        names.append(name or f"row_{row}")
    if not kept:
        raise ValueError(
            f"None of the {len(wanted)} files of {source} can be used; see the warnings."
        )
    table = _complete(table, kept, seconds, names)
    hours, found = sum(seconds) / 3600, len(wanted)
    logger.info("%s: %d of %d files, %.2f h", source, len(kept), found, hours)
    return table.select(kept) if len(kept) < len(table) else table


def probe(
    cell: dict | None, known_seconds: float | None, min_seconds: float, decode: bool
) -> tuple[float, str, str]:
    """Return `(seconds, name or "" where it has none, reason to skip or "")` of one audio cell."""
    cell = cell or {}
    known_name, name = cell.get("path") or "", audio_name(cell)
    try:
        if decode:
            waveform = read_audio(cell)
            seconds = len(waveform) / SAMPLING_RATE
            check_audible(waveform, name)
        elif known_seconds is None or not math.isfinite(known_seconds):
            seconds = audio_duration(cell)
        else:
            seconds = float(known_seconds)
            _check_present(cell, name)
    except AudioError as error:
        return math.nan, known_name, str(error)
    if seconds < min_seconds:
        reason = f"{name} is too short ({seconds:.3f} s of at least {min_seconds:g})."
        return seconds, known_name, reason
    return seconds, known_name, ""


def check_audible(waveform: np.ndarray, name: str) -> None:
    """Refuse digital silence or a constant.

    Raises:
        AudioError: the waveform (samples,) does not move.
    """
    if len(waveform) and np.ptp(waveform) < SILENCE:
        raise AudioError(f"{name} is silent; remove it or record it again.")


def _check_rows(table: datasets.Dataset, wanted: list[int], source: str | Path) -> None:
    """Refuse a table without rows, or whose durations are no numbers.

    Raises:
        ValueError: see above.
    """
    if not wanted:
        raise ValueError(f"{source} holds no row; expected one for each recording.")
    dtype = table.features["duration"].dtype if "duration" in table.column_names else "float"
    if not dtype.startswith(("float", "int", "uint", "null")):
        raise ValueError(
            f"The column `duration` of {source} holds {dtype}; expected seconds as numbers, such "
            "as 3.25: correct it, or leave the column out."
        )


def _check_present(cell: dict, name: str) -> None:
    if cell.get("bytes"):
        return
    path = Path(cell.get("path") or "")
    if not path.is_file() or path.stat().st_size == 0:
        raise AudioError(f"{name} is missing or empty; restore it or remove its row.")


def _probe_rows(
    rows: datasets.Dataset, min_seconds: float, decode: bool
) -> list[tuple[float, str, str]]:
    if rows.cache_files and (rows[0]["audio"] or {}).get("bytes"):
        return _probe_bytes(rows, min_seconds, decode)
    known = rows["duration"] if "duration" in rows.column_names else [None] * len(rows)
    cells: Iterable[dict] = rows.select_columns("audio")

    def one(pair: tuple[dict, float | None]) -> tuple[float, str, str]:
        return probe(pair[0]["audio"], pair[1], min_seconds, decode)

    pairs = zip(cells, known, strict=True)
    hidden = len(rows) < PROGRESS_FROM
    with tqdm(total=len(rows), desc="Reading audio headers", disable=hidden) as bar:
        probes = []
        with ThreadPoolExecutor(4) as pool:
            while block := [pair for _, pair in zip(range(256), pairs, strict=False)]:
                probes.extend(pool.map(one, block))
                bar.update(len(block))
    return probes


def _probe_bytes(
    rows: datasets.Dataset, min_seconds: float, decode: bool
) -> list[tuple[float, str, str]]:
    """Probe audio inside a table; `datasets` remembers the result, and reads the table once."""

    def one(example: dict, min_seconds: float, decode: bool) -> dict:
        seconds, name, reason = probe(
            example["audio"], example.get("duration"), min_seconds, decode
        )
        return {"seconds": seconds, "name": name, "reason": reason}

    columns = [name for name in ("audio", "duration") if name in rows.column_names]
    found = rows.select_columns(columns).map(
        one,
        remove_columns=columns,
        fn_kwargs={"min_seconds": min_seconds, "decode": decode},
        desc="Reading audio headers",
    )
    return list(zip(found["seconds"], found["name"], found["reason"], strict=True))


def _complete(
    table: datasets.Dataset, kept: list[int], seconds: list[float], names: list[str]
) -> datasets.Dataset:
    """Add `duration`, `id` and `speaker`, with values in the rows that are kept.

    They go to the whole table, see `read_table`.
    """
    ids = _ids(table.select(kept), names)
    table = _set_column(table, "duration", _spread(seconds, kept, len(table), math.nan))
    table = _set_column(table, "id", _spread(ids, kept, len(table), ""))
    if "speaker" not in table.column_names and "speaker_id" in table.column_names:
        table = table.add_column("speaker", [str(value) for value in table["speaker_id"]])
    return table


def _spread(values: list, rows: list[int], length: int, default: float | str) -> list:
    column = [default] * length
    for row, value in zip(rows, values, strict=True):
        column[row] = value
    return column


def _ids(rows: datasets.Dataset, names: list[str]) -> list[str]:
    """Return the `id` column as text, or file names without a suffix where that is unique."""
    if "id" in rows.column_names:
        ids = [str(value) for value in rows["id"]]
    elif "file_name" in rows.column_names:
        ids = _without_suffix([str(name) for name in rows["file_name"]])
    else:
        ids = _without_suffix(names)
    repeated = [key for key, count in Counter(ids).items() if count > 1]
    if repeated:
        raise ValueError(
            f"{len(repeated)} ids come more than once, such as {repeated[0]!r}: frame labels are "
            "found by id, so make the `id` column unique."
        )
    return ids


def _without_suffix(names: list[str]) -> list[str]:
    stems = [
        str(PurePosixPath(name).with_suffix(""))
        if PurePosixPath(name).suffix.lower() in AUDIO_SUFFIXES
        else name
        for name in names
    ]
    counts = Counter(stems)
    return [stem if counts[stem] == 1 else name for stem, name in zip(stems, names, strict=True)]


def _set_column(rows: datasets.Dataset, name: str, values: list) -> datasets.Dataset:
    if name in rows.column_names:
        rows = rows.remove_columns(name)
    return rows.add_column(name, values)
