"""Tar files of audio, as WebDataset has them, become rows that say where each recording lies.

An index beside each archive says it from the second time on: `NAME.tar.index`.
"""

from __future__ import annotations

import json
import logging
import math
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from hf_rspin.audio import AUDIO_SUFFIXES, AudioError, audio_duration
from hf_rspin.audio_members import member_path
from hf_rspin.data.folders import split_of_shard
from hf_rspin.data.memory import add_cells
from hf_rspin.utils import atomic

logger = logging.getLogger(__name__)

INDEX = ".index"  # behind the name of the archive
_OWN = ("file_name", "duration", "offset", "size", "audio")


def read_archives(files: Sequence[Path], folder: Path) -> datasets.Dataset:
    """Return a row for each recording in tar files: `file_name`, `audio`, `duration`, and more.

    Files of one stem belong together: `a.flac`, `a.json` (its plain values are columns) and `a.txt`
    (the column `text`). Archives that are called train-... and test-... are splits.

    Args:
        files: archives that end in .tar.
        folder: `file_name` begins below it.

    Raises:
        ValueError: an archive is damaged or holds no audio.
    """
    rows: list[dict[str, Any]] = []
    for file in tqdm(sorted(files), "Reading indexes", unit="tar", disable=len(files) < 20):
        place = file.relative_to(folder).as_posix()
        split = split_of_shard(place)
        for row in index_of(file):
            path = member_path(file, row.pop("offset"), row.pop("size"), row["file_name"])
            row["file_name"] = f"{place[: -len('.tar')]}/{row['file_name']}"
            rows.append({**({"split": split} if split else {}), **row, "audio": path})
    if not rows:
        raise ValueError(
            f"{files[0] if len(files) == 1 else folder} holds no audio in its tar files "
            f"({', '.join(AUDIO_SUFFIXES[:5])}, ...)."
        )
    table = datasets.Dataset.from_dict(_columns(rows, without="audio"))
    return add_cells(table, [{"bytes": None, "path": row["audio"]} for row in rows])


def index_of(file: Path) -> list[dict[str, Any]]:
    """Return where each recording of an archive lies; made and kept beside it where there is none.

    Raises:
        ValueError: the archive is damaged.
    """
    place, state = file.with_name(file.name + INDEX), _state_of(file)
    if place.is_file():
        try:
            table = pq.read_table(place)
            if (table.schema.metadata or {}).get(b"archive") == state:
                return table.to_pylist()
        except (pa.ArrowException, OSError):
            logger.warning("%s is damaged, and made again.", place)
    rows = list(_recordings(file))
    if not rows:
        logger.warning("%s holds no audio and is left out.", file)
    table = pa.table(_columns(rows))
    table = table.replace_schema_metadata({"archive": state})
    try:
        with atomic(place) as temporary:
            pq.write_table(table, temporary)
    except OSError as error:
        logger.warning("%s cannot be kept (%s): it is made at every start.", place, error)
    return table.to_pylist()


def _columns(rows: Sequence[dict[str, Any]], without: str = "") -> dict[str, list[Any]]:
    """Return rows as columns; values of several types, as 12 and "a12" of speakers, become text."""
    names = dict.fromkeys(name for row in rows for name in row if name != without)
    columns = {name: [row.get(name) for row in rows] for name in names}
    for name, values in columns.items():
        kinds = {type(value) for value in values if value is not None}
        if len(kinds) > 1 and kinds != {int, float}:
            columns[name] = [None if value is None else str(value) for value in values]
    return columns


def _state_of(file: Path) -> bytes:
    """Return what changes when an archive does."""
    status = file.stat()
    return f"{status.st_size} {status.st_mtime_ns}".encode()


def _recordings(file: Path) -> Iterator[dict[str, Any]]:
    """Yield the recordings of an archive, in its order.

    Raises:
        ValueError: it is damaged.
    """
    found: dict[str, dict[str, Any]] = {}
    try:
        with tarfile.open(file, "r:") as archive:
            for member in tqdm(archive, f"Indexing {file.name}", unit="file", leave=False):
                if member.isreg() and not member.issparse():
                    key, suffix = _key_of(member.name)
                    _add(found.setdefault(key, {}), archive, member, suffix, file)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise ValueError(
            f"{file} cannot be read as a tar file ({error}): copy it again."
        ) from error
    yield from (row for row in found.values() if "size" in row)


def _key_of(name: str) -> tuple[str, str]:
    """Return what the files of a recording share, and the suffix in lower case."""
    path = PurePosixPath(name)
    stem, dot, suffix = path.name.rpartition(".")
    return (path.parent / (stem or suffix)).as_posix(), (dot + suffix).lower() if stem else ""


def _add(
    row: dict[str, Any], archive: tarfile.TarFile, member: tarfile.TarInfo, suffix: str, file: Path
) -> None:
    if suffix in AUDIO_SUFFIXES and "size" not in row:
        path = member_path(file, member.offset_data, member.size, member.name)
        row |= {"file_name": member.name, "offset": member.offset_data, "size": member.size}
        try:
            row["duration"] = audio_duration(path)
        except AudioError:  # whoever loads the corpus is told, by name
            row["duration"] = math.nan
    elif suffix == ".txt":
        row["text"] = archive.extractfile(member).read().decode("utf-8", "replace").strip()
    elif suffix == ".json":
        try:
            content = json.loads(archive.extractfile(member).read())
        except (ValueError, RecursionError) as error:
            raise ValueError(
                f"{member.name} in {file} is no JSON ({error}): write it again."
            ) from error
        for name, value in content.items() if isinstance(content, dict) else ():
            if isinstance(value, str | int | float | bool) and name not in _OWN:
                row[name] = value
