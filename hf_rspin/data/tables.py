"""Read a folder, a table or a Hub dataset into rows with an undecoded `audio` column."""

from __future__ import annotations

from pathlib import Path

import datasets
import pandas

from hf_rspin.audio import AUDIO_SUFFIXES

METADATA_FILES = ("metadata.csv", "metadata.parquet", "metadata.jsonl")
PATH_COLUMNS = ("file_name", "path", "file")  # relative to the table's folder
TEXT_COLUMNS = ("file_name", "path", "file", "audio", "id", "speaker", "speaker_id", "text")
UNDECODED = datasets.Audio(decode=False)


def read_table(source: str | Path, split: str | None = None) -> datasets.Dataset:
    """Return the rows of `source`, their `audio` column undecoded.

    Raises:
        ValueError: nothing there, no audio column, or an unknown split; the message says which.
    """
    path = Path(source)
    if path.is_dir():
        return _select_split(_read_folder(path), split, source)
    if path.is_file():
        return _select_split(_read_file(path), split, source)
    if str(source).count("/") == 1 and not path.is_absolute():
        return _read_hub(str(source), split)
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
        return _with_audio(_load_parquet(shards), folder)
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in AUDIO_SUFFIXES)
    if not files:
        raise ValueError(
            f"{folder} holds no audio ({', '.join(AUDIO_SUFFIXES)}), no parquet and none of "
            f"{', '.join(METADATA_FILES)}."
        )
    names = [file.relative_to(folder).as_posix() for file in files]
    return _with_audio(datasets.Dataset.from_dict({"file_name": names}), folder)


def _read_file(file: Path) -> datasets.Dataset:
    if file.suffix == ".parquet":
        rows = _load_parquet([str(file)])
    elif file.suffix == ".csv":
        text = {name: str for name in TEXT_COLUMNS}
        # Only an empty cell is missing: "null" or "None" may be what somebody said.
        frame = pandas.read_csv(file, dtype=text, keep_default_na=False, na_values=[""])
        rows = datasets.Dataset.from_pandas(frame, preserve_index=False)
    elif file.suffix in (".jsonl", ".json"):
        frame = pandas.read_json(file, lines=True, dtype={"id": str})
        rows = datasets.Dataset.from_pandas(frame, preserve_index=False)
    elif file.suffix.lower() in AUDIO_SUFFIXES:
        rows = datasets.Dataset.from_dict({"file_name": [file.name]})
    else:
        raise ValueError(f"{file} is neither a csv, parquet or jsonl table nor audio.")
    return _with_audio(rows, file.parent)


def _load_parquet(files: list[str]) -> datasets.Dataset:
    return datasets.load_dataset("parquet", data_files=files, split="train")


def _read_hub(name: str, split: str | None) -> datasets.Dataset:
    name, _, configuration = name.partition(":")
    if split is None:
        raise ValueError(f"{name} is a Hub dataset: say which split, e.g. train.clean.100.")
    rows = datasets.load_dataset(name, configuration or None, split=split)
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
        rows = rows.add_column("audio", [str(folder / str(name)) for name in rows[column]])
    elif rows.features["audio"] == datasets.Value("string"):
        paths = [str(folder / name) for name in rows["audio"]]
        rows = rows.remove_columns("audio").add_column("audio", paths)
    return rows.cast_column("audio", UNDECODED)


def _select_split(
    rows: datasets.Dataset, split: str | None, source: str | Path
) -> datasets.Dataset:
    if split is None:
        return rows
    if "split" not in rows.column_names:
        raise ValueError(
            f"{source} has no `split` column, but the split {split!r} was asked for: leave the "
            "split out to use all of it (--corpus_split none, --noise_split none)."
        )
    values = rows["split"]
    kept = [index for index, value in enumerate(values) if value == split]
    if not kept:
        raise ValueError(
            f"{source} has no row with split {split!r}; it has {', '.join(sorted(set(values)))}."
        )
    return rows.select(kept)
