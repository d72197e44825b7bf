"""Phone times in a file of their own, `alignments.jsonl`, become columns of a corpus."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets

from hf_rspin.data.folders import ALIGNMENTS
from hf_rspin.data.phone_times import alignment_text
from hf_rspin.data.tables import PATH_COLUMNS, damage_named, set_column

_FIELDS = ("phones", "phone_starts", "phone_ends")


def with_alignments(rows: datasets.Dataset, folder: Path) -> datasets.Dataset:
    """Add `alignment` and `alignment_score` from `alignments.jsonl`, where a folder has it.

    Each line is a JSON object with `file_name` (as in the table, or relative to the folder),
    `phones`, `phone_starts` and `phone_ends` in seconds, and perhaps `score`; more is not read.
    What lies between two phones is silence. Rows without a line get an empty alignment; a column
    `alignment` of the table is kept as it is.

    Args:
        rows: of the table or the audio files of `folder`.
        folder: where the file may lie.

    Raises:
        ValueError: a line is damaged or its times are.
    """
    column = next((name for name in PATH_COLUMNS if name in rows.column_names), None)
    if column is None or "alignment" in rows.column_names or not (folder / ALIGNMENTS).is_file():
        return rows
    found = read_alignments(folder / ALIGNMENTS)
    lines = [found.get(str(name), ("", None)) for name in rows[column]]
    texts, scores = ([line[k] for line in lines] for k in (0, 1))
    rows = set_column(rows, "alignment", texts, datasets.Value("string"))
    return set_column(rows, "alignment_score", scores, datasets.Value("float64"))


def read_alignments(file: Path) -> dict[str, tuple[str, float | None]]:
    """Return by file name the alignment, as `parse_alignment` reads it, and its score or None.

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
                name, score = entry["file_name"], entry.get("score")
                found[name] = _text(entry), None if score is None else float(score)
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                raise ValueError(f"line {number}: {type(error).__name__} {error}") from error
    return found


def _text(entry: dict[str, Any]) -> str:
    phones, starts, ends = (entry[name] for name in _FIELDS)
    return alignment_text(phones, [float(x) for x in starts], [float(x) for x in ends])
