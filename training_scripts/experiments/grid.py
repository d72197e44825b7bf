"""A grid in YAML becomes cells: commands with an output folder, what they need, and a seed.

    seeds: [0]
    cells:
      spin:
        command: train.py --objective spin configs/spin_small.yaml --corpus {corpus}
      labels:
        needs: [spin]
        command: make_pseudo_labels.py --units spin --model {spin} --corpus {corpus}
      rspin:
        needs: [labels]
        seeds: [0, 1, 2]
        command: train.py --objective rspin configs/rspin_small.yaml --pseudo_labels {labels}/pieces
      rspin_lambda:
        like: rspin
        vary: {option: auxiliary_loss_weight, values: [0.5, 1, 5]}
      table1:
        needs: [spin, rspin]
        command: evaluate.py --encoders bundled {spin} {rspin} --corpus {corpus}
        seeds: none

A command is a script of `training_scripts` and its options; `--output_dir` and `--seed` are added.
`{corpus}` and the like are given to the runner; `{spin}` is the folder of a needed cell, all of its
seeds where the cell itself has no seed (`seeds: none`).
"""

from __future__ import annotations

import re
import shlex
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from experiments.grid_checks import check_grid, check_seeds


@dataclass(frozen=True)
class GridCell:
    """One command of the grid.

    Attributes:
        name: with what is varied, as `rspin_lambda-0.5`.
        seed: or None where nothing in it is drawn.
        command: script and options, without `--output_dir` and `--seed`.
        folder: where it writes.
        needs: folders that must be finished before.
    """

    name: str
    seed: int | None
    command: tuple[str, ...]
    folder: Path
    needs: tuple[Path, ...]


def read_grid(path: str | Path) -> dict[str, Any]:
    """Return the content of a grid file.

    Raises:
        ValueError: it is no grid; says which cell is wrong.
    """
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no YAML: {' '.join(str(error).split())}.") from error
    check_grid(content, path)
    return content


def expand(grid: Mapping[str, Any], folder: Path, given: Mapping[str, str]) -> list[GridCell]:
    """Return the cells of a grid, each after those that it needs.

    Args:
        grid: of `read_grid`.
        folder: in which every cell has a folder.
        given: what `{corpus}` and the like stand for.

    Raises:
        ValueError: a placeholder or a need that nothing stands for, or a circle of needs.
    """
    cells: dict[str, list[GridCell]] = {}
    waiting = dict(grid["cells"])
    while waiting:
        ready = [name for name in waiting if _references(waiting, name) <= cells.keys()]
        if not ready:
            lines = [f"{n} needs {', '.join(sorted(_references(waiting, n)))}" for n in waiting]
            raise ValueError(f"these cells wait for what is not there: {'; '.join(lines)}.")
        for name in ready:
            merged = _merged(grid["cells"], name)
            del waiting[name]
            cells[name] = [
                _cell(one, seed, spoken, merged.get("needs", []), cells, folder, given)
                for one, spoken in _varied(name, merged)
                for seed in _seeds(merged, grid)
            ]
    return [cell for some in cells.values() for cell in some]


def with_seeds(grid: Mapping[str, Any], seeds: Sequence[int]) -> dict[str, Any]:
    """Return a grid whose cells have these seeds; those without a seed stay without.

    Args:
        grid: of `read_grid`.
        seeds: one for a first look at a table, or more than the grid has.

    Raises:
        ValueError: a seed is there twice.
    """
    check_seeds(list(seeds), "the command line")
    cells = {
        name: {**cell, "seeds": list(seeds)} if cell.get("seeds", "none") not in (None, "none")
        else cell for name, cell in grid["cells"].items()
    }  # fmt: skip
    changed = {"seeds": list(seeds)} if grid.get("seeds", [0]) not in (None, "none") else {}
    return {**grid, "cells": cells, **changed}


def needed_for(cells: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Return the cells of a grid that some names stand for, and what these refer to.

    So that what other cells speak of need not be given.

    Args:
        cells: of `read_grid`.
        names: of cells, also with what is varied or a seed, as lambda-0.5 or rspin-seed1.
    """
    wanted = {one for one in cells for name in names if name == one or name.startswith(f"{one}-")}
    known = cells.keys()
    while more := {ref for one in wanted & known for ref in _references(cells, one)} - wanted:
        wanted |= more
    return {name: cell for name, cell in cells.items() if name in wanted}


def without_values(
    cells: Mapping[str, Any], given: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, set[str]]]:
    """Return the cells that can be filled in, and what others (and what needs them) speak of.

    Args:
        cells: of `read_grid`.
        given: values of placeholders.
    """
    lacking: dict[str, set[str]] = {}
    for name in cells:
        cell = _merged(cells, name)
        text = f"{cell.get('command', '')} {cell.get('options', '')}"
        fields = set(re.findall(r"\{(\w+)\}", text)) - given.keys() - cells.keys()
        if fields:
            lacking[name] = fields
    grown = True
    while grown:
        more = {
            name: set().union(*(lacking[one] for one in _needs(cells, name) & lacking.keys()))
            for name in cells.keys() - lacking.keys() if _needs(cells, name) & lacking.keys()
        }  # fmt: skip
        lacking |= more
        grown = bool(more)
    return {name: cell for name, cell in cells.items() if name not in lacking}, lacking


def _needs(cells: Mapping[str, Any], name: str) -> set[str]:
    return set(_merged(cells, name).get("needs", []))


def _references(cells: Mapping[str, Any], name: str) -> set[str]:
    like = cells[name].get("like")
    return set(cells[name].get("needs", [])) | ({like} if like else set())


def _merged(cells: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return a cell with what it takes over from the one that it is like."""
    own = dict(cells[name])
    if "like" not in own:
        return own
    base = _merged(cells, own.pop("like"))
    options = " ".join(filter(None, [base.pop("options", ""), own.pop("options", "")]))
    return {**base, **own, "options": options}


def _varied(name: str, cell: Mapping[str, Any]) -> list[tuple[str, str]]:
    command = " ".join(filter(None, [cell["command"], cell.get("options", "")]))
    vary = cell.get("vary")
    if not vary:
        return [(name, command)]
    return [(f"{name}-{value}", f"{command} --{vary['option']} {value}")
            for value in vary["values"]]  # fmt: skip


def _seeds(cell: Mapping[str, Any], grid: Mapping[str, Any]) -> Sequence[int | None]:
    seeds = cell.get("seeds", grid.get("seeds", [0]))
    return [None] if seeds in (None, "none") else seeds


def _cell(
    name: str,
    seed: int | None,
    command: str,
    needs: Sequence[str],
    cells: Mapping[str, Sequence[GridCell]],
    folder: Path,
    given: Mapping[str, str],
) -> GridCell:
    known: dict[str, list[str]] = {key: [value] for key, value in given.items()}
    wanted: list[Path] = []
    for need in needs:
        chosen = _of_seed(cells[need], seed)
        known[need] = [str(one.folder) for one in chosen]
        wanted += [one.folder for one in chosen]
    words = [part for word in shlex.split(command) for part in _filled(word, known, name)]
    own = folder / (name if seed is None else f"{name}-seed{seed}")
    return GridCell(name, seed, tuple(words), own, tuple(wanted))


def _of_seed(cells: Sequence[GridCell], seed: int | None) -> list[GridCell]:
    """Return the cells of a seed; all where there is no seed, the first where none has it."""
    if seed is None:
        return list(cells)
    same = [cell for cell in cells if cell.seed in (seed, None)]
    return same or [cell for cell in cells if cell.seed == cells[0].seed]


def _filled(word: str, known: Mapping[str, Sequence[str]], name: str) -> list[str]:
    """Return a word of a command with its placeholder filled in: one word for each value."""
    try:
        fields = [field for _, field, *_ in string.Formatter().parse(word) if field]
    except ValueError as error:
        raise ValueError(f"cell {name} has {word!r} in its command: {error}.") from error
    for field in fields:
        if field not in known:
            found = ", ".join(sorted(known)) or "nothing, as nothing was given"
            raise ValueError(
                f"cell {name} speaks of {{{field}}}; expected one of {found}: give --set "
                f"{field}=... or add it to `needs`."
            )
    if not fields:
        return [word]
    if len(fields) == 1:
        return [word.replace(f"{{{fields[0]}}}", value) for value in known[fields[0]]]
    return [word.format(**{field: known[field][0] for field in fields})]
