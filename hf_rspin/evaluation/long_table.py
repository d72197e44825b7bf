"""One long table of everything measured, with paired differences, and its means over seeds."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np
import pandas as pd

from hf_rspin.evaluation.cells import LAYER_ERRORS, Cell
from hf_rspin.evaluation.conditions import CLEAN
from hf_rspin.evaluation.measures.bootstrap import paired_difference
from hf_rspin.evaluation.measures.error_rates import ErrorCounts
from hf_rspin.evaluation.probes import PROBES, Metric

COLUMNS = (
    "encoder", "probe", "condition", "snr_db", "layer", "metric", "value", "low", "high",
    "p_value", "reference", "seed",
)  # fmt: skip
DIFFERENCE = "_difference"  # ends the metric of a paired comparison with `reference`
METRICS: list[Metric] = [metric for probe in PROBES.values() for metric in probe.metrics]
_ACCURACIES = {metric.name for metric in METRICS if metric.counts == "correct"}


def to_table(cells: Sequence[Cell], reference: str | None = None) -> pd.DataFrame:
    """Return one line per number.

    Args:
        cells: of `Evaluation.cells`.
        reference: the encoder that paired differences refer to; default: each pair, the later
            encoder against the earlier one.

    Returns:
        Columns `COLUMNS`: `layer` is 0 for the encoder input and missing where a number is of no
        layer, `low` and `high` are a 95 % interval, `p_value` and `reference` are there for
        differences only, which compare the errors of every utterance, averaged over seeds; where
        seeds disagree on the sign, `p_value` is 1. Of a probe with errors per layer each encoder is
        compared in the layer that is its best on clean speech; `layer` is that of the later one.

    Raises:
        ValueError: the reference is not among the encoders.
    """
    names = list(dict.fromkeys(cell.encoder for cell in cells))
    if reference is not None and reference not in names:
        raise ValueError(f"reference {reference!r} is not among the encoders {names}.")
    lines = [_common(cell) | asdict(row) for cell in cells for row in cell.rows]
    if reference is not None:
        pairs = [(reference, name) for name in names if name != reference]
    else:
        pairs = list(itertools.combinations(names, 2))
    lines += _differences(cells, pairs)
    table = pd.DataFrame(lines, columns=list(COLUMNS))
    numbers = ["snr_db", "layer", "value", "low", "high", "p_value"]
    whole = {"layer": "Int64", "seed": "Int64"}
    return table.astype(dict.fromkeys(numbers, "float64")).astype(whole)


def _common(cell: Cell) -> dict:
    return {
        "encoder": cell.encoder, "probe": cell.probe, "condition": cell.condition,
        "snr_db": cell.snr_db, "seed": cell.seed,
    }  # fmt: skip


def _differences(cells: Sequence[Cell], pairs: Sequence[tuple[str, str]]) -> list[dict]:
    """Compare the errors per utterance of each pair of encoders (before, after)."""
    layers = _best_layers(cells)
    counted: dict[tuple, dict[str, dict]] = {}  # place -> encoder -> seed -> cell
    for cell in cells:
        if "errors" in cell.details or (cell.encoder, cell.probe) in layers:
            place = (cell.probe, cell.condition, cell.snr_db)
            counted.setdefault(place, {}).setdefault(cell.encoder, {})[cell.seed] = cell
    lines = []
    for before, after in pairs:
        for (probe, *_), found in counted.items():
            seeds = [seed for seed in found.get(after, {}) if seed in found.get(before, {})]
            places = [layers.get((name, probe)) for name in (before, after)]
            some = [[found[name][seed] for seed in seeds] for name in (before, after)]
            if seeds and _comparable(some):
                line = _difference(some, places)
                lines.append(line | {"reference": before, "layer": places[1]})
    return lines


def _difference(some: Sequence[Sequence[Cell]], layers: Sequence[int | None]) -> dict:
    """Compare the cells of two encoders, one per seed each, in a layer of each or as wholes."""
    after = some[1][0]
    metric = after.rows[0].metric
    errors = [np.array([_errors(cell, layer) for cell in cells])
              for cells, layer in zip(some, layers, strict=True)]  # fmt: skip
    lengths = np.array(after.details["lengths"])
    counts = [
        ErrorCounts(lengths - one.mean(0) if metric in _ACCURACIES else one.mean(0), lengths)
        for one in errors
    ]
    difference = paired_difference(*counts, some[0][0].details.get("groups"))
    signs = np.sign(errors[1].sum(1) - errors[0].sum(1))
    if len(set(signs.tolist())) > 1:  # seeds disagree
        difference = replace(difference, p_value=1.0)
    common = _common(after) | ({"seed": None} if len(some[1]) > 1 else {})
    return common | {"metric": metric + DIFFERENCE} | asdict(difference)


def _comparable(some: Sequence[Sequence[Cell]]) -> bool:
    """Say whether both have the same references: frames of another rate are others."""
    lengths = [cell.details.get("lengths") for cells in some for cell in cells]
    return lengths[0] is not None and all(one == lengths[0] for one in lengths)


def _errors(cell: Cell, layer: int | None) -> list[int]:
    """Return the errors of each utterance, of a layer where there is one."""
    return cell.details["errors"] if layer is None else cell.details[LAYER_ERRORS][layer]


def _best_layers(cells: Sequence[Cell]) -> dict[tuple[str, str], int]:
    """Return the layer of the fewest errors on clean speech, per encoder and probe."""
    errors: dict[tuple[str, str], np.ndarray] = {}
    for cell in cells:
        if LAYER_ERRORS in cell.details and cell.condition == CLEAN:
            of_layers = np.sum(cell.details[LAYER_ERRORS], axis=1)
            place = (cell.encoder, cell.probe)
            errors[place] = errors.get(place, 0) + of_layers
    return {place: int(np.argmin(found)) for place, found in errors.items()}


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
