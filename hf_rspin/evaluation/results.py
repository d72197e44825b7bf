"""What an evaluation leaves to read: results.json, results.csv, results.md, report.html."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from hf_rspin.evaluation.cell_costs import cost_section
from hf_rspin.evaluation.cells import Cell, check_one_encoder_per_name
from hf_rspin.evaluation.long_table import METRICS, over_seeds, to_table
from hf_rspin.evaluation.overview import overview
from hf_rspin.evaluation.probe_settings import without_seed
from hf_rspin.evaluation.probes import PROBES
from hf_rspin.evaluation.probes.base import Drawing
from hf_rspin.evaluation.report import evaluation_report
from hf_rspin.evaluation.summary import FOUND, SIGNIFICANT, WARNINGS, context, found_out
from hf_rspin.evaluation.table import Section, sections
from hf_rspin.evaluation.trained_probes import learned_nothing, search_section
from hf_rspin.utils import write_json, write_text

DRAW_OTHERS = ("qbe", "sts")  # words and pairs of sentences, and not speakers
ENOUGH_SPEAKERS = 6  # of n, no p is below 2^(1-n), see `PairedDifference`
TITLE = "Frozen speech encoders, clean and distorted"
SUMMARY = """Each encoder is frozen. What is trained on its features is trained on clean speech,
then tested on other recordings: clean, or distorted. Features that ignore noise and speaker keep
error rates low in every condition, a similarity (CKA) near 1, and a low speaker accuracy."""


@dataclass
class Extra:
    """What stands in the results beside the cells.

    Args:
        title: of the report.
        summary: its first paragraph.
        sections: tables.
        drawings: figures.
        left_out: sentences on what is missing.
    """

    title: str = TITLE
    summary: str = SUMMARY
    sections: list[Section] = field(default_factory=list)
    drawings: list[Drawing] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def write_results(
    cells: Sequence[Cell],
    output: Path,
    left_out: Sequence[str] = (),
    reference: str | None = None,
    extra: Extra | None = None,
) -> str:
    """Write tables and report of finished cells; return the tables.

    Args:
        cells: of `Evaluation.cells`.
        output: folder.
        left_out: sentences on what was not measured.
        reference: see `to_table`.
        extra: beside the cells.

    Raises:
        MixedResultsError: cells of several weights, or precisions, have one encoder's name.
    """
    check_one_encoder_per_name(cells)
    extra = extra or Extra()
    not_there = []
    if reference is not None and cells and reference not in {cell.encoder for cell in cells}:
        not_there = [f"{reference} has no result yet: every pair of encoders is compared."]
        reference = None
    table, about = to_table(cells, reference), about_cells(cells)
    left_out = list(
        dict.fromkeys(
            [*learned_nothing(cells), *few_speakers(cells), *uneven_seeds(cells),
             *mixed_precision(cells), *_views(cells),
             *not_there, *left_out, *extra.left_out]
        )
    )
    first = overview(table, adaptation_hours(cells))
    more = [section for section in (search_section(cells), cost_section(cells)) if section]
    found = found_out(table, METRICS, reference)
    text = _markdown(
        extra.title,
        " ".join([context(about, table), *unusual_settings(cells)]) if cells else "",
        {FOUND: found, WARNINGS: left_out},
        [*([first] if first else []), *sections(table), *more, *extra.sections],
    )
    said = {
        "probes": _settings(cells), "found": found, "left_out": left_out,
        "tables": _tables([*more, *extra.sections]), "reference": reference,
        "encoders": list(dict.fromkeys(cell.encoder for cell in cells)),
        "cells": [cell.path(Path()).name for cell in cells],
    }  # fmt: skip
    write_json(output / "results.json", to_json(table, about) | said, indent=1)
    write_text(output / "results.csv", table.to_csv(index=False))
    write_text(output / "results.md", text + "\n")
    summary = " ".join([extra.summary, *unusual_settings(cells)])
    report = evaluation_report(
        table, extra.title, summary, left_out, about=about, cells=cells,
        first=first, reference=reference,
    )  # fmt: skip
    for drawing in extra.drawings:
        report.add_heading(drawing.title)
        report.add_figure(drawing.figure, drawing.caption)
    for section in [*more, *extra.sections]:
        report.add_section(section)
    report.write(output / "report.html")
    return text


def _markdown(
    title: str, caption: str, lists: dict[str, list[str]], tables: Sequence[Section]
) -> str:
    """Lay out the results: what they are of, sentences as lists, then tables."""
    parts = [f"# {title}", caption]
    for heading, sentences in lists.items():
        if sentences:
            items = "\n".join(f"- {' '.join(sentence.split())}" for sentence in sentences)
            parts += [f"## {heading}", items]
    parts += ["## Tables" if tables else "", *(section.to_markdown() for section in tables)]
    return "\n\n".join(part for part in parts if part)


def about_cells(cells: Sequence[Cell]) -> dict[str, Any]:
    """Return what cells say of themselves where they agree, days, and what conditions are of."""
    found: dict[str, Any] = {}
    for name in dict.fromkeys(name for cell in cells for name in cell.about):
        if name in ("condition", "precision"):
            continue
        values = {json.dumps(cell.about.get(name)) for cell in cells}
        if len(values) == 1:
            found[name] = cells[0].about[name]
    days = sorted({cell.about["date"] for cell in cells if "date" in cell.about})
    if days:
        found["date"] = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    made_of = {c.condition: c.about["condition"] for c in cells if c.about.get("condition")}
    precisions = _precisions(cells)
    if len(set(precisions.values())) == 1 and set(precisions) >= {
        cell.encoder for cell in cells if "precision" not in cell.about
    }:
        found["precision"] = next(iter(precisions.values()))
    return found | ({"conditions": made_of} if made_of else {})


def mixed_precision(cells: Sequence[Cell]) -> list[str]:
    """Say where encoders were computed in different precisions."""
    of = _precisions(cells)
    if len(set(of.values())) < 2:
        return []
    sides = [
        f"{precision}: {', '.join(name for name, one in of.items() if one == precision)}"
        for precision in dict.fromkeys(of.values())
    ]
    return [
        f"Encoders were computed in different precisions ({'; '.join(sides)}): a difference of two "
        "may be that of the precision."
    ]


def _precisions(cells: Sequence[Cell]) -> dict[str, str]:
    """Return the precision of each encoder that has one recorded."""
    return {c.encoder: c.about["precision"] for c in cells if c.about.get("precision")}


def few_speakers(cells: Sequence[Cell]) -> list[str]:
    """Say where so few speakers were heard that intervals or tests say little."""
    counts = {c.probe: len(set(c.details["groups"])) for c in cells if c.details.get("groups")}
    for cell in cells:
        units = [row.draws.units for row in cell.rows if row.draws]
        if units and cell.probe not in DRAW_OTHERS:
            counts.setdefault(cell.probe, max(units))
    alone = [name for name, count in counts.items() if count == 1]
    few = [f"{name}: {n}" for name, n in counts.items() if 1 < n < ENOUGH_SPEAKERS]
    said = []
    if alone or {cell.about.get("num_speakers") for cell in cells} == {1}:
        where = f" ({', '.join(alone)})" if alone else ""
        said.append(
            f"One speaker was heard{where}: intervals and tests need several, and are missing."
        )
    if few and len({cell.encoder for cell in cells}) > 1:
        said.append(
            f"Speakers were too few for p < {SIGNIFICANT} ({', '.join(few)}): that no difference "
            f"was found says nothing there; {ENOUGH_SPEAKERS} can show one."
        )
    return said


def uneven_seeds(cells: Sequence[Cell]) -> list[str]:
    """Say where encoders were measured with different seeds, and are compared in shared ones."""
    found: dict[str, dict[str, set]] = {}
    for cell in cells:
        found.setdefault(cell.probe, {}).setdefault(cell.encoder, set()).add(cell.seed)
    uneven = [probe for probe, of in found.items() if len(set(map(frozenset, of.values()))) > 1]
    if not uneven:
        return []
    return [
        f"Encoders were measured with different seeds ({', '.join(uneven)}): tables have the mean "
        "of all, differences are of the seeds that both have."
    ]


def _views(cells: Sequence[Cell]) -> list[str]:
    """Say which parts of a probe (views of PWCCA, for instance) an encoder could not be given."""
    return [
        f"{cell.probe} with {view} of {cell.encoder} is left out: {why}"
        for cell in cells for view, why in cell.details.get("left_out", {}).items()
    ]  # fmt: skip


def unusual_settings(cells: Sequence[Cell]) -> list[str]:
    """Return a sentence with the settings of probes that are not their defaults; none: nothing."""
    found = []
    for name, given in _settings(cells).items():
        if name not in PROBES:
            continue
        usual = json.loads(json.dumps(PROBES[name]().settings()))
        changed = [
            f"{key.replace('_', ' ')} {value}" for key, value in given.items()
            if value != usual.get(key) and isinstance(value, str | int | float)
        ]  # fmt: skip
        found += [f"{name}: {', '.join(changed)}"] if changed else []
    return [f"Settings of probes: {'; '.join(found)}."] if found else []


def _settings(cells: Sequence[Cell]) -> dict[str, dict[str, Any]]:
    """Return the settings of each probe: updates, rates, units and so on, but for its seed."""
    return {cell.probe: without_seed(cell.key["settings"]) for cell in cells}


def _tables(found: Sequence[Section]) -> dict[str, list[dict[str, str]]]:
    """Return tables that are not of metrics (rates tried, costs, labels), a row a dictionary."""
    return {
        one.title: [dict(zip(one.headers, row, strict=True)) for row in one.rows] for one in found
    }


def adaptation_hours(cells: Sequence[Cell]) -> dict[str, float]:
    """Return the hours of speech that encoders were adapted with, where they are known."""
    known = "adaptation_hours"
    return {cell.encoder: cell.about[known] for cell in cells if known in cell.about}


def to_json(table: pd.DataFrame, about: dict[str, Any]) -> dict[str, Any]:
    """Return the results as JSON values: about, metrics, a row per number, means over seeds."""
    names = set(table["metric"])
    metrics = {
        metric.name: {"title": metric.title, "caption": metric.caption, "better": metric.better}
        for metric in METRICS if metric.name in names
    }  # fmt: skip
    return {
        "about": about,
        "metrics": metrics,
        "rows": _records(table),
        "over_seeds": _records(over_seeds(table)),
    }


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return rows without what they lack: JSON has no nan."""
    return [
        {name: value for name, value in row.items() if not _missing(value)}
        for row in table.astype(object).to_dict("records")
    ]


def _missing(value: Any) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))
