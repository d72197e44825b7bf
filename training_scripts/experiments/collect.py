"""Gather what a grid found: a JSON of commands and figures, and tables over training seeds.

    python training_scripts/experiments/collect.py --folder runs/grid --tables table1 ablations \\
        --output_dir model_cards/results

Writes `cells.json` (command, seed, revision, device, hours of speech and seconds of every finished
cell) and for each evaluation `<table>.json` (its rows) and `<table>.md`. The folders of a cell's
seeds are one line of a table: mean, deviation over the training seeds, and a paired difference to
the reference with errors averaged over them. An evaluation that is not finished is shown as far as
it went, and says so; tables of labels (analyse.py --labels) stay in their folder.
"""

from __future__ import annotations

import json
import logging
import math
import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import Any

import pandas as pd

SCRIPTS = Path(__file__).resolve().parents[1]
sys.path.append(str(SCRIPTS))  # behind: evaluate.py has the name of a library

from experiments.run import DONE, read_cells  # noqa: E402
from hf_rspin.cost.record import COST_FILE, RunCost  # noqa: E402
from hf_rspin.evaluation.cells import Cell  # noqa: E402
from hf_rspin.evaluation.cells import read_cells as read_measured  # noqa: E402
from hf_rspin.evaluation.long_table import METRICS, to_table  # noqa: E402
from hf_rspin.evaluation.newest_table import newest_table  # noqa: E402
from hf_rspin.evaluation.shards import short_names  # noqa: E402
from hf_rspin.evaluation.table import sections  # noqa: E402
from hf_rspin.training.cli import exit_on_user_error, parse_arguments  # noqa: E402
from hf_rspin.utils import option, write_text  # noqa: E402

SEED = re.compile(r"^(?P<name>.+)-seed(?P<seed>\d+)$")
DIGITS = 5


@dataclass
class CollectArguments:
    """Which grid, and where its figures go."""

    folder: str = option("runs/grid", "of experiments/run.py")
    tables: list[str] = option([], "evaluations to gather; default all that have figures")
    reference: str = option("bundled", "the encoder that differences refer to")
    metrics: list[str] = option([], "to show in the tables; default all that are summarised")
    output_dir: str = option("model_cards/results", "for JSON and Markdown")


def main() -> None:
    """Read the grid, write its figures, say where."""
    (arguments,) = parse_arguments(CollectArguments)
    with exit_on_user_error():
        for file in collect(arguments):
            print(file)


def collect(arguments: CollectArguments) -> list[Path]:
    """Write the figures of a grid; return the files.

    Raises:
        ValueError: the folder holds no grid, a table has no figures, or the reference none.
    """
    folder, output = Path(arguments.folder), Path(arguments.output_dir)
    run = read_cells(folder)
    if not run:
        raise ValueError(f"{folder} holds no finished cell ({DONE}); run experiments/run.py first.")
    there = sorted(path.parent.name for path in folder.glob("*/cells") if any(path.glob("*.json")))
    for name in arguments.tables:
        if name not in there:
            found = ", ".join(there) or "none"
            raise ValueError(f"{folder / name} has no figures; expected some of {found}.")
    known = {metric.name for metric in METRICS}
    if unknown := sorted(set(arguments.metrics) - known):
        names = ", ".join(sorted(known))
        raise ValueError(f"got --metrics {unknown[0]}; expected some of {names}.")
    texts = {output / "cells.json": as_lines([with_cost(about, folder) for about in run])}
    for name in arguments.tables or there:
        finished = (folder / name / DONE).is_file()
        order = encoders_of(folder / name) if finished else []
        newest = newest_table(folder / name)  # None: of a former version, or not finished
        there = newest[0] if newest else read_measured(folder / name / "cells")
        measured = [cell for cell in there
                    if not order or cell.encoder in order]  # fmt: skip
        table = over_training_seeds(measured, arguments.reference, order)
        shown = [m for m in METRICS if (m.name in arguments.metrics if arguments.metrics
                                        else m.in_summary)]  # fmt: skip
        texts[output / f"{name}.json"] = as_lines(rows_of(table))
        state = "" if finished else "Not finished: what is missing was not measured yet.\n\n"
        text = "\n\n".join(section.to_markdown() for section in sections(table, shown))
        texts[output / f"{name}.md"] = f"# {name}\n\n{state}{text}\n"
    output.mkdir(parents=True, exist_ok=True)
    for file, text in texts.items():
        write_text(file, text)
    return list(texts)


def over_training_seeds(
    measured: Sequence[Cell], reference: str, order: Sequence[str] = ()
) -> pd.DataFrame:
    """Return the long table with the folders of one cell's seeds as seeds of one encoder.

    What has no seed, such as the encoder before, is compared with every seed, and has one line.

    Args:
        measured: cells of an evaluation; encoders are named after folders of the grid.
        reference: the encoder that differences refer to, without its seed.
        order: names of encoders, seeds included, as tables should have them; the rest by name.

    Raises:
        ValueError: the reference was not measured, a probe has several seeds, or an encoder was
            measured twice with other settings.
    """
    parts = {cell.encoder: SEED.match(cell.encoder) for cell in measured}
    merged = {name: part["name"] if part else name for name, part in parts.items()}
    if reference not in merged.values():
        known = ", ".join(dict.fromkeys(merged.values()))
        raise ValueError(f"{reference} was not measured; expected --reference as one of {known}.")
    check_alike(measured)
    seeds = sorted({int(part["seed"]) for part in parts.values() if part}) or [0]
    places = {name: place for place, name in enumerate(order)}

    def rank(cell: Cell) -> tuple:
        is_other = merged[cell.encoder] != reference
        return is_other, places.get(cell.encoder, len(places)), cell.encoder

    cells = []
    for cell in sorted(measured, key=rank):
        part = parts[cell.encoder]
        trained = [int(part["seed"])] if part else seeds
        one = replace(cell, encoder=merged[cell.encoder])
        cells += [of_training_seed(one, seed) for seed in trained]
    table = to_table(cells, reference)
    once = {name for name, part in parts.items() if part is None}
    copies = table["encoder"].isin(once) & table["seed"].notna() & (table["seed"] != seeds[0])
    copies &= table["reference"].isna()
    return table[~copies.fillna(False).astype(bool)].reset_index(drop=True)


def check_alike(measured: Sequence[Cell]) -> None:
    """Refuse cells that one number cannot be made of.

    Raises:
        ValueError: see `over_training_seeds`.
    """
    places = [(c.encoder, c.probe, c.condition, c.snr_db) for c in measured]
    twice = [place for place, count in Counter(places).items() if count > 1]
    if twice:
        encoder, probe, condition, _ = twice[0]
        raise ValueError(
            f"{encoder} has {places.count(twice[0])} cells of {probe}, {condition}: of other "
            "settings, or of several seeds of the probe; expected one: evaluate into a new folder."
        )


def of_training_seed(cell: Cell, seed: int) -> Cell:
    """Return a cell as if its seed were that of the encoder's training."""
    settings = {**cell.key["settings"], "seed": seed}
    return replace(cell, key={**cell.key, "settings": settings})


def rows_of(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows without what is missing, numbers rounded."""
    rows = []
    for row in table.to_dict("records"):
        kept = {k: v for k, v in row.items() if not (v is pd.NA or v != v or v is None)}
        rows.append({k: round(v, DIGITS) if isinstance(v, float) and math.isfinite(v) else v
                     for k, v in kept.items()})  # fmt: skip
    return rows


def encoders_of(folder: Path) -> list[str]:
    """Return the names of the encoders of a finished evaluation, in the order of its command."""
    words = json.loads((folder / DONE).read_text(encoding="utf-8"))["command"]
    if "--encoders" not in words:
        return []
    rest = words[words.index("--encoders") + 1 :]
    return short_names(list(takewhile(lambda word: not word.startswith("--"), rest)))


def with_cost(about: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return what is known of a cell, with the hours of speech that a training processed."""
    name = about["name"] if about["seed"] is None else f"{about['name']}-seed{about['seed']}"
    words = [Path(word).name if word.startswith("/") else word
             for word in (one.replace(f"{folder.resolve()}/", "") for one in about["command"])]
    about = {**about, "command": " ".join(words)}
    if (folder / name / COST_FILE).is_file():
        cost = RunCost.read(folder / name)
        about |= {"hours": round(cost.processed_hours, 3), "updates": cost.updates}
    return about


def as_lines(rows: Sequence[dict[str, Any]]) -> str:
    """Return a JSON list with a row per line: a change of one is a change of one line."""
    return "[\n" + ",\n".join(json.dumps(row, default=int) for row in rows) + "\n]\n"


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    main()
