"""Excerpts of the long table as people read them: markdown, and sections of a report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from hf_rspin.evaluation.conditions import CLEAN
from hf_rspin.evaluation.long_table import DIFFERENCE, METRICS, over_seeds, with_labels
from hf_rspin.evaluation.probes import Metric

NOTHING = "–"


@dataclass(frozen=True)
class Section:
    """A table with its title, and how to read it, for markdown or a report."""

    title: str
    headers: list[str]
    rows: list[list[str]]
    caption: str = ""

    def to_markdown(self) -> str:
        """Return the section under a heading of the third level, its caption below the table."""
        parts = [f"### {self.title}", markdown_table(self.headers, self.rows)]
        parts.append(" ".join(self.caption.split()))
        return "\n\n".join(part for part in parts if part)


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
            found.append(_wide_section(part, _title(part, metric), _cell(metric), metric.caption))
        found += _difference_sections(table[table["metric"] == metric.name + DIFFERENCE], metric)
    return found


def _difference_sections(part: pd.DataFrame, metric: Metric) -> list[Section]:
    """Return the differences to the first reference, and those of every pair where there are more.

    Args:
        part: rows of the differences of one metric.
        metric: what is compared.
    """
    if part.empty or not (metric.plotted or metric.in_summary):  # results.csv has all
        return []
    of_layers = part["layer"].notna().any()
    caption = _compared_in(metric) if of_layers else ""
    first = part[part["reference"] == part["reference"].iloc[0]]
    if of_layers and len(part) > len(first):
        caption += " Every other pair of encoders is in results.csv."
    unit = ", points" if metric.percent else ""
    title = f"{metric.title}: difference to {first['reference'].iloc[0]}{unit}{_PAIRED}"
    found = [_wide_section(first, title, _difference_cell(metric), caption)]
    if len(part) > len(first) and not of_layers:
        title = f"{metric.title}: difference of every pair{unit}{_PAIRED}"
        pairs = part.assign(encoder=part["encoder"] + " − " + part["reference"])
        found.append(_wide_section(pairs, title, _difference_cell(metric), caption))
    return found


_PAIRED = " [95 % paired interval], * p < 0.05 of this test alone"


def _compared_in(metric: Metric) -> str:
    """Say in which layers encoders are compared."""
    labels = {one.name: one.label.removesuffix(", %") for one in METRICS}
    by = f" by {labels[metric.layer_of]}" if metric.layer_of else ""
    last = "; its last layer where that was not measured" if metric.layer_of else ""
    return f"Each encoder in the layer that is its best{by} on the clean test utterances{last}."


def _title(part: pd.DataFrame, metric: Metric) -> str:
    percent = ", %" if metric.percent else ""
    several = part["num_seeds"].max()
    seeds = f", mean ± deviation of {several} seeds" if several > 1 else ""
    note = " [95 % interval]" if part["low"].notna().any() else ""
    return metric.title + percent + seeds + note


def _wide_section(
    part: pd.DataFrame, title: str, cell: Callable[[pd.Series], str], caption: str
) -> Section:
    """Lay out a number per encoder (rows) and condition (columns)."""
    labels = list(dict.fromkeys(part["label"]))
    rows = []
    for encoder, lines in part.groupby("encoder", sort=False):
        cells = {line["label"]: cell(line) for _, line in lines.iterrows()}
        rows.append([encoder, *(cells.get(label, NOTHING) for label in labels)])
    return Section(title, ["encoder", *labels], rows, caption)


def _layer_section(part: pd.DataFrame, metric: Metric) -> Section:
    """Lay out a row per condition and encoder, a column per layer."""
    layers = range(int(part["layer"].max()) + 1)
    rows = [
        [encoder, label, *_padded(lines, metric, layers)]
        for (encoder, label), lines in part.groupby(["encoder", "label"], sort=False)
    ]
    title = f"{metric.title}, per layer" + (", %" if metric.percent else "")
    several = part["num_seeds"].max()
    title += f", mean of {several} seeds" if several > 1 else ""
    return Section(title, ["encoder", "condition", *map(str, layers)], rows, metric.caption)


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


def _difference_cell(metric: Metric) -> Callable[[pd.Series], str]:
    def text(line: pd.Series) -> str:
        value, low, high = (metric.change(line[name]) for name in ("value", "low", "high"))
        interval = "" if np.isnan(line["low"]) else f" [{low}, {high}]"
        return value + interval + (" *" if line["p_value"] < 0.05 else "")

    return text


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
