"""Read a folder, a table or a Hub dataset into rows with an undecoded `audio` column."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import datasets
import pandas
from datasets.exceptions import DatasetsError

from hf_rspin.audio import AUDIO_SUFFIXES

METADATA_FILES = ("metadata.csv", "metadata.parquet", "metadata.jsonl")
PATH_COLUMNS = ("file_name", "path", "file")  # relative to the table's folder
TEXT_COLUMNS = (*PATH_COLUMNS, "audio", "id", "speaker", "speaker_id", "text", "split")
UNDECODED = datasets.Audio(decode=False)
TEXT_TYPES = (datasets.Value("string"), datasets.Value("large_string"))  # the latter: of pandas


def read_table(
    source: str | Path, split: str | None = None
) -> tuple[datasets.Dataset, list[int]]:
    """Return all rows of `source`, their `audio` column undecoded, and which are of the split.

    The rows are not selected yet: `datasets` writes a table anew, all audio in it too, when a
    column is added after a selection.

    Raises:
        ValueError: nothing there, no audio column, or an unknown split; the message says which.
    """
    path = Path(source)
    if path.is_dir():
        rows = _read_folder(path)
        return rows, _rows_of_split(rows, split, source)
    if path.is_file():
        rows = _read_file(path)
        return rows, _rows_of_split(rows, split, source)
    if str(source).count("/") == 1 and not path.is_absolute():
        rows = _read_hub(str(source), split)
        return rows, list(range(len(rows)))
    raise ValueError(
        f"{source} does not exist; expected a folder of audio, a metadata.csv / .parquet / .jsonl, "
        "or a Hub dataset as owner/name or owner/name:configuration."
    )


def _read_folder(folder: Path) -> datasets.Dataset:
    for name in METADATA_FILES:
        if (folder / name).is_file():
            return _read_file(folder / name)
    shards = sorted(str(file) for file in folder.rglob("*.parquet"))
    if shards:
        with _damage_named(folder):
            rows = _load_parquet(shards)
        return _with_audio(rows, folder)
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in AUDIO_SUFFIXES)
    if not files:
        raise ValueError(
            f"{folder} holds no audio ({', '.join(AUDIO_SUFFIXES)}), no parquet and none of "
            f"{', '.join(METADATA_FILES)}."
        )
    names = [file.relative_to(folder).as_posix() for file in files]
    return _with_audio(datasets.Dataset.from_dict({"file_name": names}), folder)


def _read_file(file: Path) -> datasets.Dataset:
    with _damage_named(file):
        rows = _parse_file(file)
    if rows is None:
        raise ValueError(f"{file} is neither a csv, parquet or jsonl table nor audio.")
    return _with_audio(rows, file.parent)


@contextlib.contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    """Say which table is damaged."""
    try:
        yield
    except (ValueError, DatasetsError) as error:
        raise ValueError(
            f"{path} could not be read as a table ({' '.join(str(error).split())}); expected a "
            "csv with commas, parquet, or one JSON object per line: repair the file."
        ) from error


def _parse_file(file: Path) -> datasets.Dataset | None:
    """Return the rows of a table or of one recording; None for any other kind of file."""
    if file.suffix == ".parquet":
        return _load_parquet([str(file)])
    if file.suffix == ".csv":
        text = {name: str for name in TEXT_COLUMNS}
        # Only an empty cell is missing: "null" or "None" may be what somebody said.
        # Without an index the first column stays one where rows are longer than the header.
        frame = pandas.read_csv(
            file, dtype=text, keep_default_na=False, na_values=[""], index_col=False
        )
        return datasets.Dataset.from_pandas(frame, preserve_index=False)
    if file.suffix in (".jsonl", ".json"):
        # No guessing: ids keep their zeros, and what looks like a date stays text.
        frame = pandas.read_json(file, lines=True, dtype=False, convert_dates=False)
        return datasets.Dataset.from_pandas(frame, preserve_index=False)
    if file.suffix.lower() in AUDIO_SUFFIXES:
        return datasets.Dataset.from_dict({"file_name": [file.name]})
    return None


def _load_parquet(files: list[str]) -> datasets.Dataset:
    return datasets.load_dataset("parquet", data_files=files, split="train")


def _read_hub(name: str, split: str | None) -> datasets.Dataset:
    name, _, configuration = name.partition(":")
    if split is None:
        raise ValueError(f"{name} is a Hub dataset: say which split, e.g. train.clean.100.")
    try:
        rows = datasets.load_dataset(name, configuration or None, split=split)
    except (OSError, ValueError, DatasetsError) as error:
        raise ValueError(
            f"{name} is no folder or file here and could not be loaded from the Hub "
            f"({' '.join(str(error).split()).rstrip('.')}): correct the path, the id or the split."
        ) from error
    return _with_audio(rows, Path())


def _with_audio(rows: datasets.Dataset, folder: Path) -> datasets.Dataset:
    """Make `audio` from the column that names files, unless it is there already."""
    if "audio" not in rows.column_names:
        column = next((name for name in PATH_COLUMNS if name in rows.column_names), None)
        if column is None:
            raise ValueError(
                f"The table has the columns {', '.join(rows.column_names)}; expected `file_name` "
                "(relative to its folder) or `audio`."
            )
        return rows.add_column("audio", _cells(rows[column], folder), feature=UNDECODED)
    held = rows.features["audio"]
    if held in TEXT_TYPES:
        cells = _cells(rows["audio"], folder)
        return rows.remove_columns("audio").add_column("audio", cells, feature=UNDECODED)
    try:
        return rows.cast_column("audio", UNDECODED)
    except (NotImplementedError, TypeError, ValueError) as error:
        raise ValueError(
            f"The column `audio` holds {held}; expected paths, or `bytes` and `path` as the Hub "
            "has them."
        ) from error


def _cells(names: Iterable[str | None], folder: Path) -> list[dict[str, str | None]]:
    """Return what an undecoded audio column holds; an empty name has no path."""
    paths = (None if name is None else str(folder / str(name)) for name in names)
    return [{"bytes": None, "path": path} for path in paths]


def _rows_of_split(
    rows: datasets.Dataset, split: str | None, source: str | Path
) -> list[int]:
    if split is None:
        return list(range(len(rows)))
    if "split" not in rows.column_names:
        raise ValueError(
            f"{source} has no `split` column, but the split {split!r} was asked for: leave the "
            "split out to use all of it (none on a command line, such as --corpus_split none)."
        )
    values = [_as_text(value) for value in rows["split"]]
    kept = [index for index, value in enumerate(values) if value == str(split)]
    if not kept:
        known = ", ".join(sorted({value or "empty cells" for value in values}))
        raise ValueError(f"{source} has no row with split {split!r}; it has {known}.")
    return kept


def _as_text(value: object) -> str:
    """Write a cell as a person would: 1 also where empty cells beside it made it 1.0."""
    if value is None or value != value:  # NaN
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
