"""A folder of audio, a table, a Hub dataset or a list becomes one `datasets.Dataset`."""

from __future__ import annotations

import itertools
import logging
import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import datasets
import numpy as np
from tqdm import tqdm

from hf_rspin.audio import (
    FRAME_WINDOW,
    SAMPLING_RATE,
    AudioError,
    audio_duration,
    audio_name,
    check_audible,
    read_audio,
)
from hf_rspin.audio_members import is_member
from hf_rspin.data.alignments import with_alignments
from hf_rspin.data.audio_column import ColumnNames
from hf_rspin.data.identifiers import row_ids
from hf_rspin.data.joining import join_corpora
from hf_rspin.data.segments import cut_at_pauses
from hf_rspin.data.skipped import NAMELESS, SkippedFile, SkippedFiles
from hf_rspin.data.sources import CorpusSource, is_corpus, read_source
from hf_rspin.data.tables import as_text, set_column

logger = logging.getLogger(__name__)

ONE_FRAME = FRAME_WINDOW / SAMPLING_RATE  # seconds; the encoder gives nothing for less
PROGRESS_FROM = 2_000  # files; a bar for fewer would only flicker
TOLERATED_SECONDS, TOLERATED_SHARE = 0.1, 0.005  # by which a column `duration` may be off


def load_corpus(
    source: CorpusSource,
    split: str | None = None,
    *,
    min_seconds: float = ONE_FRAME,
    decode: bool = False,
    strict: bool = False,
    skipped: SkippedFiles | None = None,
    audio_column: str | None = None,
    text_column: str | None = None,
    speaker_column: str | None = None,
    segment_seconds: float | None = None,
) -> datasets.Dataset:
    """Load `source` with the columns `id`, `audio` (undecoded) and `duration` in seconds.

    Every other column of the source stays; times of phones and words in `alignments.jsonl`, in
    files beside the audio or in a column `segments` add columns, see `with_alignments`.

    A file that is missing, empty, damaged, too short or (with `decode`) silent is left out with one
    warning that names it. Durations are those of the files; a column `duration` that differs is
    told.

    Args:
        source: a folder of audio; a folder with metadata.csv / .tsv / .jsonl / .parquet (column
            `file_name`), in it or in its sub-folders, or with parquet shards; such a table; tar
            files (see `read_archives`) or a folder of them; a folder of `save_to_disk`; a Hub
            dataset as `owner/name` or `owner/name:configuration`, which need not be of audio
            decoded by `datasets`; a `datasets.Dataset`; a list of recordings (see `read_audio`)
            or of mappings that hold one under `audio`; or a list of corpora.
        split: keep the rows whose `split` column says so; for a Hub dataset the split to load.
            auto: train where a table or folder has splits, else all rows.
            Sub-folders called train, test or the like are splits where no table says otherwise.
        min_seconds: the shortest utterance to keep; at least one encoder frame.
        decode: read every file to its end, which finds damaged and silent ones now instead of in
            training, where they are skipped too.
        strict: stop at the first such file.
        skipped: is given the skipped files, for a summary.
        audio_column: the column of the source that is `audio` or `file_name` here.
        text_column: the column of the source that is `text` here (`sentence` of Common Voice).
        speaker_column: the column of the source that is `speaker` here.
        segment_seconds: recordings above a minute are cut into parts of at most this length, see
            `cut_at_pauses`; None leaves them whole.

    Raises:
        ValueError: nothing usable in `source`, no such column, or two rows with the same id.
        AudioError: a bad file, when `strict`.

    Example:
        >>> from hf_rspin.resources import sample_folder
        >>> corpus = load_corpus(sample_folder(), split="test", speaker_column="speaker")
        >>> len(corpus), corpus[0]["duration"]  # seconds
        (40, 2.5664)
    """
    skipped = SkippedFiles(strict) if skipped is None else skipped
    columns = ColumnNames(audio_column, text_column, speaker_column)
    sources = [source]
    if isinstance(source, list | tuple) and source and all(map(is_corpus, source)):
        sources = list(source)
    parts = [_load_one(one, split, columns, skipped, min_seconds, decode) for one in sources]
    corpus = parts[0] if len(parts) == 1 else join_corpora(parts, sources)
    return corpus if segment_seconds is None else cut_at_pauses(corpus, segment_seconds, skipped)


def _load_one(
    source: CorpusSource,
    split: str | None,
    columns: ColumnNames,
    skipped: SkippedFiles,
    min_seconds: float,
    decode: bool,
) -> datasets.Dataset:
    named = source if isinstance(source, str | Path) else "the data set"
    table, wanted = read_source(source, split, columns, skipped)
    _check_rows(table, wanted, named)
    rows = table.select(wanted) if len(wanted) < len(table) else table
    probes = _probe_rows(rows, max(min_seconds, ONE_FRAME), decode)
    kept, seconds, names = [], [], []
    for row, (duration, name, reason) in zip(wanted, probes, strict=True):
        place = f"row {row} of {named}"
        if reason:
            skipped.add(SkippedFile(name or place, reason.replace(NAMELESS, place)))
            continue
        kept.append(row)
        seconds.append(duration)
        names.append(name or f"row_{row}")
    if not kept:
        raise ValueError(
            f"None of the {len(wanted)} files of {named} can be used; see the warnings."
        )
    seconds = seconds if decode else _agreed(table, kept, seconds, named)
    table = _complete(table, kept, seconds, names)
    table = with_alignments(table, kept, seconds, source)
    hours, found = sum(seconds) / 3600, len(wanted)
    level = logging.INFO if named is source else logging.DEBUG  # others are not a user's
    logger.log(level, "%s: %d of %d files, %.2f h", named, len(kept), found, hours)
    return table.select(kept) if len(kept) < len(table) else table


def probe(cell: dict | None, min_seconds: float, decode: bool) -> tuple[float, str, str]:
    """Return `(seconds, name or "" where it has none, reason to skip or "")` of one audio cell."""
    cell = cell or {}
    known_name, name = cell.get("path") or "", audio_name(cell)
    try:
        if decode:
            waveform = read_audio(cell)
            seconds = len(waveform) / SAMPLING_RATE
            check_audible(waveform, name)
        else:
            seconds = audio_duration(cell)
    except AudioError as error:
        return math.nan, known_name, str(error)
    if seconds < min_seconds:
        reason = f"{name} is too short ({seconds:.3f} s of at least {min_seconds:g})."
        return seconds, known_name, reason
    return seconds, known_name, ""


def _check_rows(table: datasets.Dataset, wanted: list[int], source: str | Path) -> None:
    """Refuse a table without rows, or whose durations are no numbers.

    Raises:
        ValueError: see above.
    """
    if not wanted:
        raise ValueError(f"{source} holds no row; expected one for each recording.")
    feature = table.features["duration"] if "duration" in table.column_names else None
    dtype = "float" if feature is None else getattr(feature, "dtype", type(feature).__name__)
    if not dtype.startswith(("float", "int", "uint", "null")):
        raise ValueError(
            f"The column `duration` of {source} holds {dtype}; expected seconds as numbers, such "
            "as 3.25: correct it, or leave the column out."
        )


def _probe_rows(
    rows: datasets.Dataset, min_seconds: float, decode: bool
) -> list[tuple[float, str, str]]:
    if rows.cache_files and (rows[0]["audio"] or {}).get("bytes"):
        return _probe_bytes(rows, min_seconds, decode)
    indexed = "duration" in rows.column_names and is_member((rows[0]["audio"] or {}).get("path"))
    cells = iter(rows.select_columns(["audio", *(["duration"] if indexed else [])]))

    def one(row: dict) -> tuple[float, str, str]:
        if indexed and not decode and (row["duration"] or 0) >= min_seconds:
            return row["duration"], row["audio"]["path"], ""  # the index has read the header
        return probe(row["audio"], min_seconds, decode)

    hidden = len(rows) < PROGRESS_FROM
    with tqdm(total=len(rows), desc="Reading audio headers", disable=hidden) as bar:
        probes = []
        with ThreadPoolExecutor(4) as pool:
            while block := list(itertools.islice(cells, 256)):
                probes.extend(pool.map(one, block))
                bar.update(len(block))
    return probes


def _probe_bytes(
    rows: datasets.Dataset, min_seconds: float, decode: bool
) -> list[tuple[float, str, str]]:
    """Probe audio inside a table; `datasets` remembers the result, and reads the table once."""

    def one(example: dict, min_seconds: float, decode: bool) -> dict:
        seconds, name, reason = probe(example["audio"], min_seconds, decode)
        return {"seconds": seconds, "name": name, "reason": reason}

    found = rows.select_columns("audio").map(
        one,
        remove_columns="audio",
        fn_kwargs={"min_seconds": min_seconds, "decode": decode},
        desc="Reading audio headers",
    )
    return list(zip(found["seconds"], found["name"], found["reason"], strict=True))


def _agreed(
    table: datasets.Dataset, kept: list[int], seconds: list[float], source: str | Path
) -> list[float]:
    """Return the durations of the table where the files agree with them, else those of the files.

    Batches and labels rest on durations: a wrong one would break their limits.
    """
    if "duration" not in table.column_names:
        return seconds
    column = table.select_columns("duration").select(kept)["duration"][:]
    said = np.array([math.nan if value is None else value for value in column], dtype=float)
    real = np.array(seconds)
    wrong = np.abs(said - real) > TOLERATED_SECONDS + TOLERATED_SHARE * real
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        ratio = float(np.median(said[wrong] / real[wrong]))
        unit = " (it seems to hold milliseconds, expected seconds)" if 900 < ratio < 1100 else ""
        logger.warning(
            "%s: the column `duration` is wrong in %d of %d rows%s, such as row %d: %g, but the "
            "audio lasts %.3f s. The durations of the files are used.",
            source, wrong.sum(), len(said), unit, kept[first], said[first], real[first],
        )  # fmt: skip
    return np.where(wrong | np.isnan(said), real, said).tolist()


def _complete(
    table: datasets.Dataset, kept: list[int], seconds: list[float], names: list[str]
) -> datasets.Dataset:
    """Add `duration`, `id` and `speaker`, with values in the rows that are kept.

    They go to the whole table, see `read_source`.
    """
    ids = row_ids(table, kept, names)
    table = set_column(table, "duration", _spread(seconds, kept, len(table), math.nan))
    table = set_column(table, "id", _spread(ids, kept, len(table), ""))
    column = next((name for name in ("speaker", "speaker_id") if name in table.column_names), None)
    if column is None:
        return table
    speakers = [as_text(value) or None for value in table[column]]  # unknown is nobody
    return set_column(table, "speaker", speakers, datasets.Value("string"))


def _spread(values: list, rows: list[int], length: int, default: float | str) -> list:
    column = [default] * length
    for row, value in zip(rows, values, strict=True):
        column[row] = value
    return column
