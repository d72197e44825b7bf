"""Recordings in memory become rows with an undecoded `audio` column."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import datasets
import soundfile

from hf_rspin.audio import SAMPLING_RATE, AudioError, is_recording, read_audio

UNDECODED = datasets.Audio(decode=False)
UNDECODED_KEYS = ("bytes", "path")
# An undecoded cell that is a part of its file, from `start` to `stop` in seconds.
SEGMENTED = {
    "bytes": datasets.Value("binary"),
    "path": datasets.Value("string"),
    "start": datasets.Value("float64"),
    "stop": datasets.Value("float64"),
}
CELL_KEYS = ("array", "sampling_rate", *SEGMENTED)


def add_cells(
    rows: datasets.Dataset, cells: list[dict[str, Any]], segmented: bool = False
) -> datasets.Dataset:
    """Add the column `audio`; where a cell names a part of a file, all of them have that place."""
    segmented = segmented or any("start" in cell or "stop" in cell for cell in cells)
    if segmented:
        cells = [{key: cell.get(key) for key in SEGMENTED} for cell in cells]
    feature = datasets.Features(SEGMENTED) if segmented else UNDECODED
    if rows.column_names:
        return rows.add_column("audio", cells, feature=feature)
    # a table without columns has no rows to add one to
    numbered = datasets.Dataset.from_dict({"number": range(len(cells))})
    return numbered.add_column("audio", cells, feature=feature).remove_columns("number")


def read_list(items: Iterable[Any], audio_column: str | None = None) -> datasets.Dataset:
    """Make rows of recordings, or of mappings that hold one beside other columns."""
    items = list(items)
    paths = [Path(item).parent.absolute() for item in items if isinstance(item, str | Path)]
    shared = _common_folder(paths)
    rows = [_row(item, f"item {number}", shared, audio_column) for number, item in enumerate(items)]
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = datasets.Dataset.from_dict(
        {name: [row.get(name) for row in rows] for name in names if name != "audio"}
    )
    return add_cells(table, [row["audio"] for row in rows])


def _row(item: Any, place: str, shared: Path | None, audio_column: str | None) -> dict[str, Any]:
    if isinstance(item, str | Path):
        name = Path(item).absolute().relative_to(shared).as_posix()
        return {"file_name": name, "audio": audio_cell(item, place)}
    if not isinstance(item, Mapping):
        return {"audio": audio_cell(item, place)}
    column = audio_column or "audio"
    if column in item:
        rest = {key: value for key, value in item.items() if key not in (column, "audio")}
        return {**rest, "audio": audio_cell(item[column], place)}
    if "array" in item or "bytes" in item or "path" in item:
        rest = {key: value for key, value in item.items() if key not in CELL_KEYS}
        return {**rest, "audio": audio_cell({k: item[k] for k in CELL_KEYS if k in item}, place)}
    if "file_name" in item:
        return {**item, "audio": audio_cell(item["file_name"], place)}
    raise ValueError(
        f"{place} has the keys {', '.join(map(str, item))}; expected `audio`, `file_name`, `path`, "
        "`bytes` or `array` among them."
    )


def audio_cell(value: Any, place: str) -> dict[str, Any]:
    """Return an undecoded cell; floats are encoded, so that all corpora are alike.

    Raises:
        ValueError: it is no audio.
    """
    if value is None:
        return {"bytes": None, "path": None}
    if isinstance(value, str | Path):
        return {"bytes": None, "path": str(value)}
    if isinstance(value, bytes | bytearray):
        return {"bytes": bytes(value), "path": None}
    if isinstance(value, Mapping) and "array" not in value:
        return {key: value.get(key) for key in SEGMENTED if key in (*UNDECODED_KEYS, *value)}
    if not is_recording(value):
        raise ValueError(f"{place} is {type(value).__name__}; expected a path, bytes or floats.")
    try:
        waveform = read_audio(value)
    except AudioError as error:
        raise ValueError(f"{place} cannot be used: {error}") from error
    buffer = io.BytesIO()
    soundfile.write(buffer, waveform, SAMPLING_RATE, format="WAV", subtype="FLOAT")
    name = value.get("path") if isinstance(value, Mapping) else None
    return {"bytes": buffer.getvalue(), "path": name}


def _common_folder(folders: list[Path]) -> Path | None:
    if not folders:
        return None
    shared = folders[0]
    while any(shared != folder and shared not in folder.parents for folder in folders):
        shared = shared.parent
    return shared
