"""The column `audio` of a table: where its files lie, and how the table calls its columns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import datasets

from hf_rspin.data.memory import SEGMENTED, UNDECODED, add_cells, audio_cell
from hf_rspin.data.tables import PATH_COLUMNS, TEXT_TYPES

AUDIO_FOLDERS = ("clips", "audio", "wavs", "wav")  # beside a table that names bare files
TRIED = 20  # rows whose files are looked for


@dataclass(frozen=True)
class ColumnNames:
    """How a table calls its audio, text and speakers; None: by our names."""

    audio: str | None = None
    text: str | None = None
    speaker: str | None = None

    def given(self) -> dict[str, str]:
        """Return what is called otherwise, by our name."""
        named = {"audio": self.audio, "text": self.text, "speaker": self.speaker}
        return {role: name for role, name in named.items() if name not in (None, role)}


def with_audio(rows: datasets.Dataset, folder: Path, columns: ColumnNames) -> datasets.Dataset:
    """Make `audio` from the column that names files, unless it is there already.

    Numbers in columns `start` and `stop` are the place of each row in its file, in seconds.

    Raises:
        ValueError: there is no such column, or one with another name is not there.
    """
    rows = rename_columns(rows, columns)
    held = rows.features.get("audio")
    if held is None:
        column = next((name for name in PATH_COLUMNS if name in rows.column_names), None)
        if column is None:
            raise ValueError(
                f"The table has the columns {', '.join(rows.column_names)}; expected `file_name` "
                "(relative to its folder) or `audio`: name another one with audio_column."
            )
        return _with_cells(rows, _cells(rows[column], _audio_folder(rows[column], folder)))
    if held in TEXT_TYPES:
        cells = _cells(rows["audio"], _audio_folder(rows["audio"], folder))
        return _with_cells(rows.remove_columns("audio"), cells)
    if isinstance(held, datasets.List) or (isinstance(held, dict) and "array" in held):
        cells = [audio_cell(value, f"row {row}") for row, value in enumerate(rows["audio"])]
        return _with_cells(rows.remove_columns("audio"), cells)
    if isinstance(held, dict) and set(held) == set(SEGMENTED):
        return rows
    try:
        return rows.cast_column("audio", UNDECODED)
    except (NotImplementedError, TypeError, ValueError) as error:
        raise ValueError(
            f"The column `audio` holds {held}; expected paths, floats, or `bytes` and `path` as "
            "the Hub has them."
        ) from error


def _with_cells(rows: datasets.Dataset, cells: list[dict]) -> datasets.Dataset:
    """Add `audio`, with the place of each row in its file where the table says it."""
    place = ("start", "stop")
    if all(
        name in rows.column_names and rows.features[name].dtype.startswith(("float", "int"))
        for name in place
    ):
        for name in place:
            for cell, seconds in zip(cells, rows[name], strict=True):
                cell[name] = None if seconds != seconds else seconds  # NaN: not known
    return add_cells(rows, cells)


def rename_columns(rows: datasets.Dataset, columns: ColumnNames) -> datasets.Dataset:
    """Call columns by our names; a column that had this name before is left out.

    Raises:
        ValueError: a column is not there.
    """
    named = columns.given()
    if len(set(named.values())) < len(named):
        raise ValueError(
            f"one column is named for several of {', '.join(named)} "
            f"({', '.join(named.values())}); expected one for each."
        )
    for role, name in named.items():
        if name not in rows.column_names:
            raise ValueError(
                f"{role}_column is {name!r}, but the columns are {', '.join(rows.column_names)}; "
                "expected one of these."
            )
    for role, name in columns.given().items():
        target = role
        if role == "audio" and rows.features[name] in TEXT_TYPES:
            target = "file_name"
        spare = {role, target} & (set(rows.column_names) - {name})
        rows = rows.remove_columns(sorted(spare))
        rows = rows.rename_column(name, target) if name != target else rows
    return rows


def _cells(names: Iterable[str | None], folder: Path) -> list[dict[str, str | None]]:
    """Return what an undecoded audio column holds; an empty name has no path."""
    paths = (None if name is None else str(folder / str(name)) for name in names)
    return [{"bytes": None, "path": path} for path in paths]


def _audio_folder(names: Iterable[str | None], folder: Path) -> Path:
    """Return where the named files lie: beside the table, or in its folder `clips` or the like."""
    tried = [name for name, _ in zip(names, range(TRIED), strict=False) if name]

    def found(place: Path) -> bool:
        return any(_exists(place / str(name)) for name in tried)

    if found(folder):
        return folder
    return next((folder / name for name in AUDIO_FOLDERS if found(folder / name)), folder)


def _exists(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long, or a zero byte within
        return False
