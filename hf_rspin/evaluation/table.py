"""One long table of everything measured, and its excerpts as people read them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import pandas as pd

from hf_rspin.evaluation.cells import Cell
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
NOTHING = "–"
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
        seeds disagree on the sign, `p_value` is 1.

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
    counted: dict[tuple, dict[str, dict]] = {}  # place -> encoder -> seed -> cell
    for cell in cells:
        if "errors" in cell.details:
            place = (cell.probe, cell.condition, cell.snr_db)
            counted.setdefault(place, {}).setdefault(cell.encoder, {})[cell.seed] = cell
    lines = []
    for before, after in pairs:
        for found in counted.values():
            seeds = [seed for seed in found.get(after, {}) if seed in found.get(before, {})]
            if not seeds:
                continue
            first, second = ([found[name][seed] for seed in seeds] for name in (before, after))
            groups = first[0].details.get("groups")
            metric = second[0].rows[0].metric
            counts = [_counts(some, metric in _ACCURACIES) for some in (first, second)]
            difference = paired_difference(*counts, groups)
            numbers = {"metric": metric + DIFFERENCE, "reference": before}
            if not _agree(found[before], found[after], seeds):
                difference = replace(difference, p_value=1.0)
            common = _common(second[0]) | ({"seed": None} if len(seeds) > 1 else {})
            lines.append(common | numbers | asdict(difference))
    return lines


def _agree(before: dict, after: dict, seeds: Sequence) -> bool:
    """Say whether the difference has the same sign with every seed."""
    errors = [[sum(some[seed].details["errors"]) for seed in seeds] for some in (before, after)]
    signs = {np.sign(new - old) for old, new in zip(*errors, strict=True)}
    return len(seeds) == 1 or len(signs) == 1


def _counts(cells: Sequence[Cell], correct: bool) -> ErrorCounts:
    """Return the errors of each utterance, or what is correct, averaged over seeds of cells."""
    errors = np.mean([cell.details["errors"] for cell in cells], axis=0)
    lengths = np.array(cells[0].details["lengths"])
    return ErrorCounts(lengths - errors if correct else errors, lengths)


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


@dataclass(frozen=True)
class Section:
    """A table with its title, for markdown or a report."""

    title: str
    headers: list[str]
    rows: list[list[str]]

    def to_markdown(self) -> str:
        """Return the section under a heading of the third level."""
        return f"### {self.title}\n\n{markdown_table(self.headers, self.rows)}"


def sections(table: pd.DataFrame, metrics: Sequence[Metric] = METRICS) -> list[Section]:
    """Return a section per metric: encoders x conditions, or layers where there are any.

    Args:
        table: of `to_table`.
        metrics: what to show, in this order; those that were not measured are left out.
    """
    table, found = with_labels(over_seeds(table)), []
    for metric in metrics:
        part = table[table["metric"] == metric.name]
        if part["layer"].notna().any():
            found.append(_layer_section(part, metric))
        elif len(part):
            found.append(_wide_section(part, _title(part, metric), _cell(metric)))
        part = table[table["metric"] == metric.name + DIFFERENCE]
        first = part[part["reference"] == part["reference"].iloc[0]] if len(part) else part
        if len(first):
            title = f"{metric.title}: difference to {first['reference'].iloc[0]}, points{_PAIRED}"
            found.append(_wide_section(first, title, _difference_cell))
        if len(part) > len(first):
            title = f"{metric.title}: difference of every pair, points{_PAIRED}"
            pairs = part.assign(encoder=part["encoder"] + " − " + part["reference"])
            found.append(_wide_section(pairs, title, _difference_cell))
    return found


_PAIRED = " [95 % paired interval], * p < 0.05 of this test alone"


def _title(part: pd.DataFrame, metric: Metric) -> str:
    percent = ", %" if metric.percent else ""
    several = part["num_seeds"].max()
    seeds = f", mean ± deviation of {several} seeds" if several > 1 else ""
    note = " [95 % interval]" if part["low"].notna().any() else ""
    return metric.title + percent + seeds + note


def _wide_section(part: pd.DataFrame, title: str, cell: Callable[[pd.Series], str]) -> Section:
    """Lay out a number per encoder (rows) and condition (columns)."""
    labels = list(dict.fromkeys(part["label"]))
    rows = []
    for encoder, lines in part.groupby("encoder", sort=False):
        cells = {line["label"]: cell(line) for _, line in lines.iterrows()}
        rows.append([encoder, *(cells.get(label, NOTHING) for label in labels)])
    return Section(title, ["encoder", *labels], rows)


def _layer_section(part: pd.DataFrame, metric: Metric) -> Section:
    """Lay out a row per condition and encoder, a column per layer."""
    layers = range(int(part["layer"].max()) + 1)
    rows = [
        [encoder, label, *_padded(lines, metric, layers)]
        for (encoder, label), lines in part.groupby(["encoder", "label"], sort=False)
    ]
    title = f"{metric.title}, per layer" + (", %" if metric.percent else "")
    return Section(title, ["encoder", "condition", *map(str, layers)], rows)


def _padded(lines: pd.DataFrame, metric: Metric, layers: range, nothing: str = NOTHING) -> list:
    values = dict(zip(lines["layer"], lines["value"], strict=True))
    return [metric.text(values[i]) if i in values else nothing for i in layers]


def _cell(metric: Metric) -> Callable[[pd.Series], str]:
    def text(line: pd.Series) -> str:
        shown = metric.text(line["value"])
        if not np.isnan(line["spread"]):
            shown += f" ± {metric.text(line['spread'])}"
        if np.isnan(line["low"]):
            return shown
        return f"{shown} [{metric.text(line['low'])}, {metric.text(line['high'])}]"

    return text


def _difference_cell(line: pd.Series) -> str:
    value, low, high = (f"{100 * line[name]:+.1f}" for name in ("value", "low", "high"))
    interval = "" if np.isnan(line["low"]) else f" [{low}, {high}]"
    return value + interval + (" *" if line["p_value"] < 0.05 else "")


def layer_summary(table: pd.DataFrame, metrics: Sequence[Metric] = METRICS) -> Section:
    """Return what layers tell, in one table: a row per number, condition and encoder.

    Args:
        table: of `to_table`.
        metrics: those `in_summary` are shown, under their `conditions`.
    """
    table, rows = with_labels(over_seeds(table)), []
    table = table[table["layer"].notna()]
    layers = range(int(table["layer"].max()) + 1 if len(table) else 0)
    for metric in metrics:
        part = table[table["metric"] == metric.name] if metric.in_summary else table[:0]
        if metric.conditions == "clean":
            part = part[part["condition"] == CLEAN]
        for label in dict.fromkeys(part["label"]):
            what = metric.label + ("" if label == CLEAN else f", {label}")
            for encoder, lines in part[part["label"] == label].groupby("encoder", sort=False):
                rows.append([what, encoder, *_padded(lines, metric, layers, "")])
    return Section("Layers", ["figure", "", *(f"layer {i}" for i in layers)], rows)


def markdown_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out a table; the first column is text, the others are right-aligned.

    Bars, line breaks and raw HTML in a cell are made harmless.
    """
    rule = [":--"] + ["--:"] * (len(headers) - 1)
    lines = [map(_harmless, headers), rule, *(map(_harmless, row) for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _harmless(cell: object) -> str:
    return " ".join(str(cell).split()).replace("<", "&lt;").replace("|", "\\|")
