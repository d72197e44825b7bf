"""Read a csv, tab-separated, jsonl or parquet table; refuse rows whose cells moved."""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import datasets
import pandas
from datasets.exceptions import DatasetsError

PATH_COLUMNS = ("file_name", "path", "file")  # relative to the table's folder
TEXT_COLUMNS = (*PATH_COLUMNS, "audio", "id", "speaker", "speaker_id", "text", "split")
TEXT_TYPES = (datasets.Value("string"), datasets.Value("large_string"))  # the latter: of pandas
SHOWN = 60  # characters of a row in a message


def parse_table(file: Path, text_columns: Sequence[str] = ()) -> datasets.Dataset | None:
    """Return the rows of a table; None for a file that is none.

    Args:
        file: csv (commas, semicolons or tabs), tsv, jsonl, json or parquet, in any case.
        text_columns: more columns whose cells stay text, such as "007".

    Raises:
        ValueError: it is damaged, or a row has more or fewer cells than the header.
    """
    suffix = file.suffix.lower()
    if suffix == ".parquet":
        return load_parquet([file])
    if suffix in (".csv", ".tsv"):
        return _parse_csv(file, (*TEXT_COLUMNS, *text_columns))
    if suffix in (".jsonl", ".json"):
        with damage_named(file):
            # No guessing: ids keep their zeros, and what looks like a date stays text.
            lines = not file.read_text(encoding="utf-8-sig").lstrip().startswith("[")
            frame = pandas.read_json(file, lines=lines, dtype=False, convert_dates=False)
            return datasets.Dataset.from_pandas(frame, preserve_index=False)
    return None


def load_parquet(files: Sequence[Path]) -> datasets.Dataset:
    """Load parquet files as one table, from the disk.

    Raises:
        ValueError: one is damaged.
    """
    with damage_named(files[0] if len(files) == 1 else files[0].parent):
        names = sorted(str(file) for file in files)
        return datasets.load_dataset("parquet", data_files=names, split="train")


@contextlib.contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Say which table is damaged."""
    try:
        yield
    except CellError:
        raise
    except (ValueError, DatasetsError, csv.Error) as error:
        raise ValueError(
            f"{path} could not be read as a table ({' '.join(str(error).split())}); expected a "
            "csv with commas or tabs, parquet, or one JSON object per line: repair the file."
        ) from error


def as_text(value: object) -> str:
    """Write a cell as a person would: 1 also where empty cells beside it made it 1.0."""
    if value is None or value != value:  # NaN
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _parse_csv(file: Path, text_columns: Sequence[str]) -> datasets.Dataset:
    with damage_named(file):
        text = file.read_text(encoding="utf-8-sig")
    delimiter, quoting = _dialect(file, text)
    header = _check_cells(file, text, delimiter, quoting)
    with damage_named(file):
        # Only an empty cell is missing: "null" or "None" may be what somebody said.
        frame = pandas.read_csv(
            io.StringIO(text), sep=delimiter, quoting=quoting, index_col=False,
            usecols=range(len(header)), dtype={name: str for name in text_columns},
            keep_default_na=False, na_values=[""],
        )  # fmt: skip
        frame.columns = [str(name).strip() for name in frame.columns]
        if quoting == csv.QUOTE_NONE:
            for name in frame.select_dtypes(["object", "str"]):
                frame[name] = frame[name].map(_unquoted)
        return datasets.Dataset.from_pandas(frame, preserve_index=False)


def _dialect(file: Path, text: str) -> tuple[str, int]:
    """Return the delimiter and how quotes are read.

    Tables with tabs often hold quotes that are part of the text (Common Voice): they are read as
    such where every line has as many cells as the header then.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    header = lines[0] if lines else ""
    if file.suffix.lower() == ".csv" and "," in header and "\t" not in header:
        return ",", csv.QUOTE_MINIMAL
    if "\t" in header or file.suffix.lower() == ".tsv":
        tabs = header.count("\t")
        same = all(line.count("\t") == tabs for line in lines)
        return "\t", csv.QUOTE_NONE if same else csv.QUOTE_MINIMAL
    return (";" if ";" in header else ","), csv.QUOTE_MINIMAL


def _check_cells(file: Path, text: str, delimiter: str, quoting: int) -> list[str]:
    """Return the header; empty cells after the last column of a row do not count.

    Raises:
        ValueError: a row has more or fewer cells.
    """
    header: list[str] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting)
    with damage_named(file):
        rows = ((reader.line_num, row) for row in reader)
        for line, row in rows:
            if not any(cell.strip() for cell in row) and len(row) <= 1:
                continue
            if not header:
                header = row
            elif len(row) < len(header) or any(row[len(header) :]):
                if "\n" in row[-1] and next(rows, None) is None:
                    raise ValueError(f"a double quote in {row[0][:SHOWN]!r} is never closed")
                raise CellError(file, line, row, header, delimiter)
    return header


class CellError(ValueError):
    """A row of a table has more or fewer cells than the header."""

    def __init__(self, file: Path, line: int, row: list[str], header: list[str], delimiter: str):
        shown = delimiter.join(row)
        shown = shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}..."
        what = {"\t": "a tab", ";": "a semicolon"}.get(delimiter, "a comma")
        super().__init__(
            f"{file}, line {line} has {len(row)} cells ({shown!r}); expected {len(header)} "
            f"({', '.join(header)}): put a cell that holds {what} in double quotes, and leave no "
            "cell out."
        )


def _unquoted(cell: object) -> object:
    """Take off quotes that only enclose a cell, and halve the doubled ones within."""
    if not isinstance(cell, str) or len(cell) < 2 or not cell[0] == cell[-1] == '"':
        return cell
    inner = cell[1:-1]
    return inner.replace('""', '"') if '"' not in inner.replace('""', "") else cell


def set_column(
    rows: datasets.Dataset, name: str, values: list, feature: datasets.Value | None = None
) -> datasets.Dataset:
    """Add a column, or put it in the place of the one of that name."""
    if name in rows.column_names:
        rows = rows.remove_columns(name)
    return rows.add_column(name, values, feature=feature)
