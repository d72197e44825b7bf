"""One long table of everything measured, with paired differences, and its means over seeds."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict

import pandas as pd

from hf_rspin.evaluation.cells import Cell
from hf_rspin.evaluation.differences import DIFFERENCE, METRICS, common, differences

__all__ = ["COLUMNS", "DIFFERENCE", "METRICS", "over_seeds", "to_table", "with_labels"]

COLUMNS = (
    "encoder", "probe", "condition", "snr_db", "layer", "metric", "value", "low", "high",
    "p_value", "reference", "seed",
)  # fmt: skip


def to_table(cells: Sequence[Cell], reference: str | None = None) -> pd.DataFrame:
    """Return one line per number.

    Args:
        cells: of `Evaluation.cells`.
        reference: the encoder that paired differences refer to; default: each pair, the later
            encoder against the earlier one.

    Returns:
        Columns `COLUMNS`: `layer` is 0 for the encoder input and missing where a number is of no
        layer, `low` and `high` are a 95 % interval, `p_value` and `reference` are there for
        differences only, which compare the errors of every utterance, or the figure on every draw
        of speakers, averaged over seeds; where seeds disagree on the sign, `p_value` is 1. Of a
        figure per layer each encoder is compared in the layer that is its best on clean speech (see
        `Metric.layer_of`); `layer` is that of the later one.

    Raises:
        ValueError: the reference is not among the encoders.
    """
    names = list(dict.fromkeys(cell.encoder for cell in cells))
    if reference is not None and reference not in names:
        raise ValueError(f"reference {reference!r} is not among the encoders {names}.")
    lines = [common(cell) | asdict(row) for cell in cells for row in cell.rows]
    if reference is not None:
        pairs = [(reference, name) for name in names if name != reference]
    else:
        pairs = list(itertools.combinations(names, 2))
    lines += differences(cells, pairs)
    table = pd.DataFrame(lines, columns=list(COLUMNS))
    numbers = ["snr_db", "layer", "value", "low", "high", "p_value"]
    whole = {"layer": "Int64", "seed": "Int64"}
    return table.astype(dict.fromkeys(numbers, "float64")).astype(whole)


def over_seeds(table: pd.DataFrame) -> pd.DataFrame:
    """Return one line per number: the mean of its seeds.

    Args:
        table: of `to_table`.

    Returns:
        The table without `seed`, and with `spread`, the standard deviation over seeds (missing for
        one), and `num_seeds`. `low` and `high` are means too: each is an interval over speakers,
        which does not know the spread over seeds.
    """
    keys = [c for c in COLUMNS if c not in ("value", "low", "high", "p_value", "seed")]
    groups = table.groupby(keys, sort=False, dropna=False)
    found = groups[["value", "low", "high", "p_value"]].mean()
    found["spread"] = groups["value"].std()
    found["num_seeds"] = groups["value"].size()
    return found.reset_index()


def with_labels(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with a column `label`: the condition, with its SNR where there are more."""
    several = {
        condition
        for condition, ratios in table.groupby("condition")["snr_db"]
        if ratios.nunique() > 1
    }
    labels = [
        condition.replace("_", " ") + (f", {ratio:g} dB" if condition in several else "")
        for condition, ratio in zip(table["condition"], table["snr_db"], strict=True)
    ]
    return table.assign(label=labels)
