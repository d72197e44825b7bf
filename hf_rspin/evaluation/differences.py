"""Paired tests of encoders: errors of the same utterances, figures on the same speakers drawn."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from hf_rspin.evaluation.cells import LAYER_ERRORS, Cell
from hf_rspin.evaluation.conditions import CLEAN
from hf_rspin.evaluation.draws import difference_of_draws
from hf_rspin.evaluation.measures.bootstrap import paired_difference
from hf_rspin.evaluation.measures.error_rates import ErrorCounts
from hf_rspin.evaluation.probes import PROBES, Metric

DIFFERENCE = "_difference"  # ends the metric of a paired comparison with `reference`
METRICS: list[Metric] = [metric for probe in PROBES.values() for metric in probe.metrics]
_ACCURACIES = {metric.name for metric in METRICS if metric.counts == "correct"}


def differences(cells: Sequence[Cell], pairs: Sequence[tuple[str, str]]) -> list[dict]:
    """Return a line of the long table per figure, condition and pair of encoders (before, after).

    See `to_table`. Encoders are compared where both were measured on the same utterances.
    """
    found = _of_errors(cells, pairs)
    known = {_compared(line) for line in found}  # of an earlier version's seeds beside new ones
    return found + [line for line in _of_draws(cells, pairs) if _compared(line) not in known]


def _compared(line: dict) -> tuple:
    """Return what a line compares."""
    names = ("metric", "encoder", "reference", "probe", "condition", "snr_db")
    return tuple(line[name] for name in names)


def common(cell: Cell) -> dict:
    """Return what all lines of a cell share."""
    return {
        "encoder": cell.encoder, "probe": cell.probe, "condition": cell.condition,
        "snr_db": cell.snr_db, "seed": cell.seed,
    }  # fmt: skip


def _of_errors(cells: Sequence[Cell], pairs: Sequence[tuple[str, str]]) -> list[dict]:
    """Compare the errors per utterance of each pair of encoders (before, after).

    Errors per layer only where an earlier version left no draws of one of them.
    """
    layers = _best_layers(cells)
    counted: dict[tuple, dict[str, dict]] = {}  # place -> encoder -> seed -> cell
    for cell in cells:
        if "errors" in cell.details or (cell.encoder, cell.probe) in layers:
            place = _place(cell)
            counted.setdefault(place, {}).setdefault(cell.encoder, {})[cell.seed] = cell
    lines = []
    for before, after in pairs:
        for (probe, *_), found in counted.items():
            seeds = [seed for seed in found.get(after, {}) if seed in found.get(before, {})]
            places = [layers.get((name, probe)) for name in (before, after)]
            some = [[found[name][seed] for seed in seeds] for name in (before, after)]
            if seeds and _comparable(some) and not _have_draws(some):
                line = _difference(some, places)
                lines.append(line | {"reference": before, "layer": places[1]})
    return lines


def _of_draws(cells: Sequence[Cell], pairs: Sequence[tuple[str, str]]) -> list[dict]:
    """Compare the figures that have draws of each pair of encoders (before, after)."""
    known = {metric.name for metric in METRICS}
    layers = _layers_to_compare(cells)
    # (place, metric) -> encoder -> seed -> cell, layer, figure and its draws
    found: dict[tuple, dict[str, dict[int | None, tuple]]] = {}
    for cell in cells:
        for row in cell.rows:
            if row.draws is None or ("errors" in cell.details and row is cell.rows[0]):
                continue  # the errors themselves are compared, see `_of_errors`
            if row.layer in (None, layers.get((cell.encoder, row.metric))):
                of = found.setdefault((_place(cell), row.metric), {})
                of.setdefault(cell.encoder, {})[cell.seed] = (cell, row.layer, row.value, row.draws)
    lines = []
    for before, after in pairs:
        for (_, metric), of in found.items():
            seeds = [seed for seed in of.get(after, {}) if seed in of.get(before, {})]
            sides = [[of[name][seed][2:] for seed in seeds] for name in (before, after)]
            difference = difference_of_draws(*sides) if seeds and metric in known else None
            if difference is not None:
                cell, layer, *_ = of[after][seeds[0]]
                seed = {"seed": None} if len(seeds) > 1 else {}
                lines.append(common(cell) | seed | asdict(difference) | {
                    "metric": metric + DIFFERENCE, "reference": before, "layer": layer,
                })  # fmt: skip
    return lines


def _layers_to_compare(cells: Sequence[Cell]) -> dict[tuple[str, str], int]:
    """Return the layer in which each encoder is compared, by encoder and metric.

    That of `Metric.layer_of`: its best on clean speech, or under all conditions where clean speech
    was not measured; the last layer where nothing says which is better.
    """
    directions = {metric.name: metric.better for metric in METRICS}
    best: dict[tuple[str, str], int] = {}
    last: dict[tuple[str, str], int] = {}
    for some in ([cell for cell in cells if cell.condition == CLEAN], cells):
        values: dict[tuple[str, str], dict[int, list[float]]] = {}
        for cell in some:
            for row in cell.rows:
                if row.layer is not None:
                    of_layers = values.setdefault((cell.encoder, row.metric), {})
                    of_layers.setdefault(row.layer, []).append(row.value)
        for place, of_layers in values.items():
            last[place] = max(of_layers)
            means = {layer: np.mean(found) for layer, found in of_layers.items()}
            means = {layer: mean for layer, mean in means.items() if np.isfinite(mean)}
            direction = directions.get(place[1])
            if means and direction and place not in best:
                choose = max if direction == "higher" else min
                best[place] = choose(means, key=means.get)
    of = {metric.name: metric.layer_of or metric.name for metric in METRICS}
    return {
        (encoder, metric): best.get((encoder, of.get(metric, metric)), layer)
        for (encoder, metric), layer in last.items()
    }


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
    seed = {"seed": None} if len(some[1]) > 1 else {}
    return common(after) | seed | {"metric": metric + DIFFERENCE} | asdict(difference)


def _place(cell: Cell) -> tuple:
    """Return what cells of two encoders must share to be compared."""
    settings = json.dumps(_without_seeds(cell.key["settings"]), sort_keys=True)
    return cell.probe, cell.condition, cell.snr_db, cell.key.get("test"), settings


def _without_seeds(settings: Any) -> Any:
    if isinstance(settings, dict):
        return {k: _without_seeds(value) for k, value in settings.items() if k != "seed"}
    return settings


def _have_draws(some: Sequence[Sequence[Cell]]) -> bool:
    """Say whether errors per layer are compared by draws."""
    return all(LAYER_ERRORS in cell.details and cell.rows[0].draws for one in some for cell in one)


def _comparable(some: Sequence[Sequence[Cell]]) -> bool:
    """Say whether both have the same references: frames of another rate are others."""
    lengths = [cell.details.get("lengths") for cells in some for cell in cells]
    return lengths[0] is not None and all(one == lengths[0] for one in lengths)


def _errors(cell: Cell, layer: int | None) -> list[int]:
    """Return the errors of each utterance, of a layer where there is one."""
    return cell.details["errors"] if layer is None else cell.details[LAYER_ERRORS][layer]


def _best_layers(cells: Sequence[Cell]) -> dict[tuple[str, str], int]:
    """Return the layer of the fewest errors on clean speech, per encoder and probe.

    Under all conditions where clean speech was not measured.
    """
    found: dict[tuple[str, str], int] = {}
    for some in ([cell for cell in cells if cell.condition == CLEAN], cells):
        errors: dict[tuple[str, str], np.ndarray] = {}
        for cell in some:
            if LAYER_ERRORS in cell.details:
                place = (cell.encoder, cell.probe)
                of_layers = np.sum(cell.details[LAYER_ERRORS], axis=1)
                errors[place] = errors.get(place, 0) + of_layers
        found = {place: int(np.argmin(counts)) for place, counts in errors.items()} | found
    return found
