"""How utterances are called: by their `id`, or by the names of their files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import datasets

from hf_rspin.audio import AUDIO_SUFFIXES
from hf_rspin.data.memory import SEGMENTED
from hf_rspin.data.tables import as_text


def row_ids(table: datasets.Dataset, kept: Sequence[int], names: Sequence[str]) -> list[str]:
    """Return the `id` column as text; where it is empty, the file name.

    File names go without a suffix where that is unique in the whole table: a.flac of one split and
    a.mp3 of another are not the same.

    Args:
        table: all rows.
        kept: those that are asked for.
        names: how the audio of these is called.

    Raises:
        ValueError: an id comes more than once.
    """
    if "file_name" in table.column_names:
        stems = _without_suffix([as_text(name) for name in table["file_name"]])
        ids = [stems[row] or name for row, name in zip(kept, names, strict=True)]
    else:
        ids = _without_suffix(names)
    if table.features["audio"] == SEGMENTED:
        ids = [_with_place(key, table[row]["audio"]) for key, row in zip(ids, kept, strict=True)]
    if "id" in table.column_names:
        given = table.select_columns("id").select(kept)["id"]
        ids = [as_text(key).strip() or own for key, own in zip(given, ids, strict=True)]
    repeated = [key for key, count in Counter(ids).items() if count > 1]
    if repeated:
        raise ValueError(
            f"{len(repeated)} ids come more than once, such as {repeated[0]!r}: frame labels are "
            "found by id, so make the `id` column unique."
        )
    return ids


def prefixed_ids(ids: Sequence[Sequence[str]], sources: Sequence[Any]) -> list[list[str]]:
    """Return the ids of several corpora; where some repeat, all with a name in front.

    Args:
        ids: of each corpus.
        sources: their paths; corpora without a path, or of the same name, are numbered.
    """
    counts = Counter(key for keys in ids for key in keys)
    if max(counts.values()) == 1:
        return [list(keys) for keys in ids]
    names = [Path(s).stem if isinstance(s, str | Path) else "" for s in sources]
    if len(set(names)) < len(names) or "" in names:
        names = [f"corpus{number}" for number in range(len(sources))]
    return [[f"{name}/{key}" for key in keys] for name, keys in zip(names, ids, strict=True)]


def segment_id(key: str, start: float, stop: float | None) -> str:
    """Name a part of a recording by its place in seconds."""
    return f"{key}_{start:.2f}-{'end' if stop is None else f'{stop:.2f}'}"


def _with_place(key: str, cell: dict) -> str:
    if cell["start"] is None and cell["stop"] is None:
        return key
    return segment_id(key, cell["start"] or 0.0, cell["stop"])


def _without_suffix(names: Sequence[str]) -> list[str]:
    stems = {
        name: str(PurePosixPath(name).with_suffix(""))
        if PurePosixPath(name).suffix.lower() in AUDIO_SUFFIXES
        else name
        for name in names
    }
    counts = Counter(stems.values())
    return [stems[name] if counts[stems[name]] == 1 else name for name in names]
