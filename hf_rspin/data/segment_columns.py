"""The columns `segments` and `word_segments` of a table: lists of {start, end, label}."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

import datasets

from hf_rspin.data.alignment_files import SILENT_WORDS, UtteranceTimes, spoken
from hf_rspin.data.phone_times import Segment

logger = logging.getLogger(__name__)

SEGMENTS, WORD_SEGMENTS = "segments", "word_segments"


class SegmentColumns:
    """Phone times of `segments` and word times of `word_segments`, in seconds of the row's audio.

    A cell is a list of {"start", "end", "label"}, or JSON text of that; empty cells are not known.
    Columns of these names that hold something else are told and not read: Whisper calls its
    output so.

    Args:
        table: may have the columns.
        source: how messages call it.
    """

    def __init__(self, table: datasets.Dataset, source: object):
        self.source = source
        names = [name for name in (SEGMENTS, WORD_SEGMENTS) if name in table.column_names]
        self.cells = {name: table[name][:] for name in names}
        for name in names:
            found = next(filter(None, map(_first_entry, self.cells[name])), None)
            if found is not None and not {"start", "end", "label"} <= set(found):
                logger.warning(
                    "%s: the column `%s` is not read as times; expected lists of {start, end, "
                    "label}, got %s.", source, name, str(found)[:80],
                )  # fmt: skip
                del self.cells[name]

    def __call__(self, row: int) -> UtteranceTimes:
        """Return the times of a row of the table.

        Raises:
            ValueError: a cell holds something else, in a sentence that names the row.
        """
        phones = spoken(self._read(SEGMENTS, row))
        return UtteranceTimes(phones, spoken(self._read(WORD_SEGMENTS, row), SILENT_WORDS))

    def _read(self, name: str, row: int) -> list[Segment]:
        if name not in self.cells:
            return []
        cell = self.cells[name][row]
        try:
            return [
                Segment(float(one["start"]), float(one["end"]), _label(one["label"]))
                for one in _entries(cell)
            ]
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(
                f"{self.source}, row {row}: the column `{name}` holds {str(cell)[:80]!r} "
                f"({type(error).__name__}: {error}); expected a list of {{start, end, label}} with "
                "seconds, or JSON text of that."
            ) from error


def _label(label: object) -> str:
    if not isinstance(label, str):
        raise TypeError(f"the label is {label!r}, no text")
    return label


def _entries(cell: Any) -> list[dict[str, Any]]:
    """Return the segments of a cell; none where it is empty."""
    if cell is None or cell != cell or cell == "":  # NaN
        return []
    entries = json.loads(cell) if isinstance(cell, str) else cell
    if isinstance(entries, Mapping):  # a list of mappings as `datasets.Sequence` keeps it
        entries = [dict(zip(entries, row, strict=True)) for row in zip(*entries.values(),
                   strict=True)]  # fmt: skip
    if not isinstance(entries, list):
        raise TypeError(f"no list but {type(entries).__name__}")
    return entries


def _first_entry(cell: Any) -> Mapping[str, Any] | None:
    """Return the first segment of a cell, None for an empty one, {"": it} for what is none."""
    try:
        entries = _entries(cell)
    except (ValueError, TypeError):
        return {"": cell}
    if not entries:
        return None
    return entries[0] if isinstance(entries[0], Mapping) else {"": entries[0]}
