"""Rows of a corpus as one file: parquet, npz, or arrow for a `datasets` folder."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hf_rspin.utils import atomic, write_text

# str, float, (n,) or (frames, dim) by column; all rows have the same columns, `id` among them
Row = Mapping[str, Any]
SUFFIXES = {"parquet": ".parquet", "npz": ".npz", "dataset": ".arrow"}
GROUP_BYTES = 2**24  # of a row group of parquet: what is read at once for one row


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write rows to a file whose suffix says the format, whole or not at all.

    Args:
        path: .parquet, .npz or .arrow.
        rows: at least one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as temporary:
        if path.suffix == ".npz":
            with open(temporary, "wb") as file:
                arrays = as_arrays(rows)
                dense = any(one.ndim == 2 for one in arrays.values())  # floats do not shrink
                (np.savez if dense else np.savez_compressed)(file, **arrays)
            return
        table = as_table(rows)
        if path.suffix == ".parquet":
            each = max(1, GROUP_BYTES * len(rows) // max(table.nbytes, 1))
            pq.write_table(table, temporary, row_group_size=each, compression="zstd")
            return
        with pa.OSFile(str(temporary), "wb") as file, pa.ipc.new_stream(file, table.schema) as to:
            to.write_table(table)


def as_table(rows: Sequence[Row]) -> pa.Table:
    """Return rows as a table: (n,) becomes a list, (frames, dim) a list of vectors."""
    return pa.table({name: _column([row[name] for row in rows]) for name in rows[0]})


def as_arrays(rows: Sequence[Row]) -> dict[str, np.ndarray]:
    """Return rows as arrays by name: "units/<id>" of each row, and "id", "start", ... of all."""
    arrays = {}
    for name, value in rows[0].items():
        if isinstance(value, np.ndarray):
            arrays |= {f"{name}/{row['id']}": row[name] for row in rows}
        else:
            arrays[name] = np.array([row[name] for row in rows])
    return arrays


def finish_dataset(folder: Path, names: Sequence[str]) -> None:
    """Write what makes a folder with arrow files one that `datasets.load_from_disk` reads.

    Args:
        folder: holds the files.
        names: of the files, in their order.
    """
    beside = Path(tempfile.mkdtemp(".tmp", ".dataset.", folder))
    try:
        with _no_progress_bar():
            one = datasets.Dataset.from_file(str(folder / names[0])).select(range(1))
            one.save_to_disk(str(beside))
        state = json.loads((beside / "state.json").read_text(encoding="utf-8"))
        state["_data_files"] = [{"filename": name} for name in names]
        os.replace(beside / "dataset_info.json", folder / "dataset_info.json")
        write_text(folder / "state.json", json.dumps(state, indent=2) + "\n")
    finally:
        shutil.rmtree(beside, ignore_errors=True)


@contextlib.contextmanager
def _no_progress_bar() -> Iterator[None]:
    shown = datasets.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            datasets.enable_progress_bars()


def _column(values: list[Any]) -> pa.Array:
    if not isinstance(values[0], np.ndarray):
        return pa.array(values)
    offsets = np.append(0, np.cumsum([len(value) for value in values])).astype(np.int32)
    flat = np.concatenate(values)
    inner = pa.array(flat.reshape(-1))
    if flat.ndim == 2:
        inner = pa.FixedSizeListArray.from_arrays(inner, flat.shape[1])
    return pa.ListArray.from_arrays(pa.array(offsets), inner)
