"""Folders, tables, Hub data sets and what is in memory become rows with an undecoded `audio`."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath
from typing import Any

import datasets
import pandas
import pyarrow.parquet as pq
from datasets.exceptions import DatasetsError

from hf_rspin.audio import AUDIO_SUFFIXES
from hf_rspin.audio_files import FOREIGN_SUFFIXES, conversion_hint
from hf_rspin.data.archives import read_archives
from hf_rspin.data.audio_column import ColumnNames, rename_columns, with_audio
from hf_rspin.data.folders import (
    METADATA_SUFFIXES,
    FolderContents,
    describe_foreign,
    list_folder,
    split_of,
    split_of_shard,
)
from hf_rspin.data.memory import read_list
from hf_rspin.data.skipped import SkippedFile, SkippedFiles
from hf_rspin.data.tables import PATH_COLUMNS, as_text, load_parquet, parse_table, set_column
from hf_rspin.nearby import nearby

logger = logging.getLogger(__name__)


AUTO_SPLIT = "auto"  # train, where a table or folder has splits; else all of it

CorpusSource = str | Path | datasets.Dataset | datasets.DatasetDict | Sequence[Any]


def split_found(rows: datasets.Dataset) -> str | None:
    """Return what the split `auto` means for rows of a table or folder; None: all of them."""
    return "train" if "split" in rows.column_names else None


def read_source(
    source: CorpusSource, split: str | None, columns: ColumnNames, skipped: SkippedFiles
) -> tuple[datasets.Dataset, list[int]]:
    """Return all rows of `source`, their `audio` column undecoded, and which are of the split.

    The rows are not selected yet: `datasets` writes a table anew, all audio in it too, when a
    column is added after a selection.

    Raises:
        ValueError: nothing there, no audio column, or an unknown column or split.
    """
    if isinstance(source, str | Path):
        path = Path(source)
        if _saved_to_disk(path):
            source = datasets.load_from_disk(str(path))
        elif path.is_dir():
            rows = _read_folder(path, columns, skipped)
            return rows, _rows_of_split(rows, split, source)
        elif path.is_file():
            rows = _read_file(path, columns)
            return rows, _rows_of_split(rows, split, source)
        else:
            rows = with_audio(_read_hub(str(source), split), Path(), columns)
            return rows, list(range(len(rows)))
    if isinstance(source, datasets.DatasetDict):
        rows = with_audio(_choose_split(source, split), Path(), columns)
        return rows, list(range(len(rows)))
    if not isinstance(source, Iterable):
        raise ValueError(
            f"the corpus is {source!r}; expected a folder, a table, a data set or a list."
        )
    rows = source if isinstance(source, datasets.Dataset) else read_list(source, columns.audio)
    rows = with_audio(rows, Path(), columns)
    return rows, _rows_of_split(rows, split, "the data set")


def is_corpus(item: object) -> bool:
    """Say whether an item of a list is a corpus itself: a folder, a table, a data set, a Hub id."""
    if isinstance(item, datasets.Dataset | datasets.DatasetDict):
        return True
    if not isinstance(item, str | Path):
        return False
    return Path(item).suffix.lower() not in (*AUDIO_SUFFIXES, *FOREIGN_SUFFIXES)


def _read_folder(folder: Path, columns: ColumnNames, skipped: SkippedFiles) -> datasets.Dataset:
    contents = list_folder(folder)
    _check_archives(contents, folder)
    if contents.metadata:
        _tell_outside(contents, folder, skipped)
        return _read_metadata(contents.metadata, folder, columns)
    if contents.shards:
        return with_audio(_read_shards(contents.shards, folder), folder, columns)
    if contents.archives:
        return with_audio(read_archives(contents.archives, folder), folder, columns)
    _tell_left_out(contents, folder, skipped)
    if columns.given():
        raise ValueError(
            f"{folder} has no table, so there is no column {next(iter(columns.given().values()))}; "
            "expected a metadata.csv, .tsv, .jsonl or .parquet: name the table itself as corpus."
        )
    names = [file.relative_to(folder).as_posix() for file in contents.audio]
    rows = {"file_name": names, **_splits(names)}
    return with_audio(datasets.Dataset.from_dict(rows), folder, columns)


def _check_archives(contents: FolderContents, folder: Path) -> None:
    """Refuse tar files beside other audio, of which only one could be read; tell compressed ones.

    Raises:
        ValueError: see above.
    """
    others = [*contents.metadata, *contents.shards, *contents.audio]
    if contents.archives and others:
        raise ValueError(
            f"{folder} holds {len(contents.archives)} tar files, such as "
            f"{contents.archives[0].name}, and beside them {others[0].name}; expected one kind: "
            "move the others, or name files as the corpus."
        )
    if contents.compressed and (contents.archives or others):
        logger.warning(
            "%s: %d compressed archives are left out, such as %s: decompress them to .tar.",
            folder, len(contents.compressed), contents.compressed[0].name,
        )  # fmt: skip


def _read_shards(files: list[Path], folder: Path) -> datasets.Dataset:
    """Read parquet files; those called train-... and test-... are splits where no column says."""
    files = sorted(files, key=str)  # as `load_parquet` does
    rows = load_parquet(files)
    names = [split_of_shard(file.relative_to(folder).as_posix()) for file in files]
    if "split" in rows.column_names or not any(names):
        return rows
    counts = [pq.read_metadata(file).num_rows for file in files]
    splits = [name for name, count in zip(names, counts, strict=True) for _ in range(count)]
    return set_column(rows, "split", splits, datasets.Value("string"))


def _tell_outside(contents: FolderContents, folder: Path, skipped: SkippedFiles) -> None:
    """Warn of, and count, audio in folders that no table describes, where others have one."""
    places = [file.parent for file in contents.metadata]
    outside = [f for f in contents.audio if not any(place in f.parents for place in places)]
    if outside:
        logger.warning(
            "%s: %d recordings lie in no folder with a table and are left out, such as %s.",
            folder, len(outside), outside[0],
        )  # fmt: skip
    for file in outside:
        skipped.note(SkippedFile(str(file), f"{file} lies in no folder with a table."))


def _tell_left_out(contents: FolderContents, folder: Path, skipped: SkippedFiles) -> None:
    """Name what lies in a folder of audio and is not read.

    Raises:
        ValueError: there is no audio that can be read.
    """
    foreign = describe_foreign(contents.foreign) if contents.foreign else ""
    if not contents.audio:
        tables = ", ".join(f"metadata{suffix}" for suffix in METADATA_SUFFIXES)
        raise ValueError(
            f"{folder} holds no audio ({', '.join(AUDIO_SUFFIXES)}), no parquet, no tar and none "
            f"of {tables}." + (f" {foreign}" if foreign else "") + (
                f" {contents.compressed[0].name} is compressed: gunzip or decompress it to a .tar."
                if contents.compressed else ""
            )
        )
    if foreign:
        logger.warning("%s: %s", folder, foreign)
    for file in contents.foreign:
        reason = f"{file} cannot be read: convert it with {conversion_hint(str(file))}"
        (skipped.add if skipped.strict else skipped.note)(SkippedFile(str(file), reason))
    for name in contents.nameless:
        skipped.add(SkippedFile(name, f"{name} has a name that is not UTF-8; rename it."))
    if contents.tables:
        logger.warning(
            "%s: the audio is read, but no table; name %s as the corpus to use it, or call it "
            "metadata%s.", folder, contents.tables[0], contents.tables[0].suffix.lower(),
        )  # fmt: skip


def _splits(names: list[str]) -> dict[str, list[str | None]]:
    """Return a `split` column from sub-folders such as train and test, if there are any.

    A single one among others, as `train` beside `dog` and `rain` in a corpus of noise, is none.
    Files in folders beside several splits are of no split.
    """
    splits = [split_of(name) for name in names]
    named, others = sorted({one for one in splits if one}), splits.count(None)
    inside = [name for name, one in zip(names, splits, strict=True)
              if one is None and len(PurePath(name).parts) > 1]  # fmt: skip
    if len(named) == 1 and inside:
        logger.info(
            "The sub-folder %s is not taken as a split, as %s lies beside it: say splits in the "
            "column `split` of metadata.csv.", named[0], PurePath(inside[0]).parts[0],
        )  # fmt: skip
        return {}
    if named and others:
        logger.info("%d of %d files lie in none of the splits %s.", others, len(names),
                    ", ".join(named))  # fmt: skip
    return {"split": splits} if named else {}


def _read_metadata(files: list[Path], folder: Path, columns: ColumnNames) -> datasets.Dataset:
    """Read the table of a folder, or those of its sub-folders as one."""
    if len(files) == 1 and files[0].parent == folder:
        return _read_file(files[0], columns)
    frames = []
    for file in files:
        rows = rename_columns(parse_table(file, list(columns.given().values())), columns)
        frame, inner = rows.to_pandas(), file.parent.relative_to(folder)
        column = next((name for name in (*PATH_COLUMNS, "audio") if name in frame), None)
        if column is not None:
            frame[column] = [
                name if name is None or name != name else (inner / str(name)).as_posix()
                for name in frame[column]
            ]
        if "split" not in frame:
            frame["split"] = split_of((inner / "x").as_posix())
        frames.append(frame)
    table = pandas.concat(frames, ignore_index=True)
    table = table.drop(columns="split") if table["split"].isna().all() else table
    return with_audio(datasets.Dataset.from_pandas(table), folder, ColumnNames())


def _read_file(file: Path, columns: ColumnNames) -> datasets.Dataset:
    if file.suffix.lower() == ".tar":
        return with_audio(read_archives([file], file.parent), file.parent, columns)
    rows = parse_table(file, list(columns.given().values()))
    if rows is None and file.suffix.lower() in AUDIO_SUFFIXES:
        rows = datasets.Dataset.from_dict({"file_name": [file.name]})
    if rows is None:
        raise ValueError(f"{file} is neither a csv, tsv, parquet or jsonl table nor audio nor tar.")
    return with_audio(rows, file.parent, columns)


def _saved_to_disk(path: Path) -> bool:
    one = all((path / name).is_file() for name in ("dataset_info.json", "state.json"))
    return one or (path / "dataset_dict.json").is_file()


def _choose_split(parts: datasets.DatasetDict, split: str | None) -> datasets.Dataset:
    if split in (None, AUTO_SPLIT) and len(parts) == 1:
        return next(iter(parts.values()))
    if split not in parts:
        raise ValueError(f"the data set has no split {split!r}; it has {', '.join(parts)}.")
    return parts[split]


def _read_hub(name: str, split: str | None) -> datasets.Dataset:
    path = Path(name)
    name, _, configuration = name.partition(":")
    if name.count("/") != 1 or path.is_absolute() or path.parent.is_dir():
        raise ValueError(
            f"{path} does not exist; expected a folder of audio, a metadata.csv / .parquet / "
            f".jsonl, or a Hub dataset as owner/name or owner/name:configuration: {nearby(path)}."
        )
    if split in (None, AUTO_SPLIT):
        raise ValueError(
            f"{name} is no folder or file here; of a Hub dataset say which split, e.g. "
            "train.clean.100."
        )
    try:
        return datasets.load_dataset(name, configuration or None, split=split)
    except (OSError, ValueError, DatasetsError) as error:
        raise ValueError(
            f"{name} is no folder or file here and could not be loaded from the Hub "
            f"({' '.join(str(error).split()).rstrip('.')}): correct the path, the id or the split."
        ) from error


def _rows_of_split(rows: datasets.Dataset, split: str | None, source: object) -> list[int]:
    if split == AUTO_SPLIT:
        split = split_found(rows)
    if split is None:
        return list(range(len(rows)))
    if "split" not in rows.column_names:
        raise ValueError(
            f"{source} has no `split` column, but its split {split!r} was asked for: to use all of "
            "it leave the split out (on a command line: --corpus_split none, for noise "
            "--noise_split none)."
        )
    values = [as_text(value) for value in rows["split"]]
    kept = [index for index, value in enumerate(values) if value == str(split)]
    if not kept:
        known = ", ".join(sorted({value or "empty cells" for value in values}))
        raise ValueError(f"{source} has no row with split {split!r}; it has {known}.")
    return kept
