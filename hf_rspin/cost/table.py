"""Table 5 of R-Spin for runs of one's own, beside the paper's rows."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

import pandas as pd

from hf_rspin.cost.published import PUBLISHED, SOURCE
from hf_rspin.cost.record import COST_FILE, RunCost

logger = logging.getLogger(__name__)

# as in the paper; a heading before them, and what the paper does not say behind
TABLE_5 = (
    "Model", "Init", "Updates", "Batch Size (minutes)", "Processed Speech (hours)", "#GPUs",
    "GPU Hours", "Open Model",
)  # fmt: skip
MORE = (
    "Wall Hours", "Device", "Peak Memory (GiB)", "Peak GPU Memory (GiB)",
    "GFLOP per Second of Speech", "Energy (kWh)", "Energy Method",
)  # fmt: skip
COLUMNS = ("Group", *TABLE_5, "Remark", *MORE, "Source")
YOURS = "Your runs"
NOTHING = "–"
_WHOLE = ("Updates", "#GPUs")
_TEXT = ("Group", "Model", "Init", "Open Model", "Remark", "Device", "Energy Method", "Source")


def cost_table(folders: Sequence[str | Path], with_paper: bool = True) -> pd.DataFrame:
    """Return a row per run, and those of the paper under them.

    A folder without a whole cost.json is left out, logged, and named in a sentence of
    `attrs["left_out"]`.

    Args:
        folders: where runs were trained into, in the order of the rows.
        with_paper: whether to add the rows of Table 5.

    Returns:
        Columns `COLUMNS`: numbers, missing where nothing is known. "GPU Hours" is time on a GPU
        times the number of GPUs, 0 on a CPU; "Peak Memory" that of the largest process.

    Example:
            cost_table(["runs/spin", "runs/rspin"])[["Model", "Updates", "GPU Hours"]]
    """
    rows, left_out = [], []
    for folder, name in zip(folders, _names(folders), strict=True):
        try:
            rows.append(_row(name, RunCost.read(folder), str(folder)))
        except (FileNotFoundError, NotADirectoryError):
            left_out.append(
                f"{folder} holds no {COST_FILE}: it is no folder of a run, or of one that ended "
                "before its first checkpoint or was trained by an earlier version."
            )
        except ValueError as error:
            left_out.append(str(error))
    for sentence in left_out:
        logger.warning(sentence)
    if with_paper:
        rows += [dict(zip(("Group", *TABLE_5, "Remark"), astuple(row), strict=True))
                 | {"Source": SOURCE} for row in PUBLISHED]  # fmt: skip
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    numbers = [name for name in COLUMNS if name not in _TEXT]
    table = table.astype(dict.fromkeys(_TEXT, "object") | dict.fromkeys(numbers, "float64"))
    table = table.astype(dict.fromkeys(_WHOLE, "Int64"))
    table.attrs["left_out"] = left_out
    return table


def cost_cells(table: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Return headers and rows of text, as `evaluation.table.markdown_table` takes them.

    Columns that say nothing are left out; numbers have three digits.
    """
    table = table.dropna(axis="columns", how="all")
    rows = [[_text(value) for value in line] for line in table.itertuples(index=False)]
    return list(table.columns), rows


def _row(name: str, cost: RunCost, source: str) -> dict[str, Any]:
    joules = cost.energy_joules
    return {
        "Group": YOURS,
        "Model": name,
        "Init": cost.init,
        "Updates": cost.updates,
        "Batch Size (minutes)": cost.batch_minutes,
        "Processed Speech (hours)": cost.processed_hours,
        "#GPUs": cost.num_gpus,
        "GPU Hours": cost.gpu_hours,
        "Wall Hours": cost.wall_seconds / 3600,
        "Device": cost.device,
        "Peak Memory (GiB)": _gibibytes(cost.peak_memory_bytes),
        "Peak GPU Memory (GiB)": _gibibytes(cost.peak_gpu_memory_bytes),
        "GFLOP per Second of Speech": cost.forward_gflops_per_second_of_speech,
        "Energy (kWh)": None if joules is None else joules / 3.6e6,
        "Energy Method": cost.energy_method,
        "Source": source,
    }


def _names(folders: Sequence[str | Path]) -> list[str]:
    """Return the last parts of paths, or whole ones where the last is not enough."""
    last = [Path(folder).resolve().name for folder in folders]
    return [str(f) if last.count(n) > 1 else n for f, n in zip(folders, last, strict=True)]


def _gibibytes(number: int | None) -> float | None:
    return None if number is None else number / 2**30


def _text(value: Any) -> str:
    if pd.isna(value):
        return NOTHING
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"
