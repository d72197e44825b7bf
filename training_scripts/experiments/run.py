"""Run a grid of trainings and evaluations; what is finished is not run again.

    python training_scripts/experiments/run.py training_scripts/experiments/small.yaml \\
        --set corpus=speech noise=noise rooms=rooms --folder runs/grid

Killed and repeated, the cell that was running goes on from its newest checkpoint, and finished ones
are skipped. `--shard 0 --num_shards 2` divides the cells between processes or machines that share
the folder. Every finished cell leaves `cell.json`: command, seed, revision of this code, device,
seconds. `--seeds 0` is a first look at a table: one training of each kind, in a folder of its own.
`--dry_run true` prints the commands.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from tqdm import tqdm

SCRIPTS = Path(__file__).resolve().parents[1]
sys.path.append(str(SCRIPTS))  # behind: evaluate.py has the name of a library

from experiments.grid import (  # noqa: E402
    GridCell,
    expand,
    needed_for,
    read_grid,
    with_seeds,
    without_values,
)
from hf_rspin.training.cli import exit_on_user_error, parse_arguments  # noqa: E402
from hf_rspin.utils import option, write_json  # noqa: E402

DONE, FAILED, LOG = "cell.json", "failed.json", "cell.log"
STARTED = time.time()
POLL = 5.0  # seconds between two looks at what another process works on


@dataclass
class GridArguments:
    """Which grid, where, and which part of it."""

    grid: str = option("", "YAML file, see experiments/grid.py")
    set: list[str] = option([], "what {corpus} and the like stand for, as corpus=FOLDER")
    folder: str = option("runs/grid", "in which every cell has a folder")
    only: list[str] = option([], "cells, as lambda, lambda-0.5 or rspin-seed1; default all")
    seeds: list[int] = option([], "of every cell that has some, instead of the grid's")
    shard: int = option(0, "which part of the cells this process runs, from 0")
    num_shards: int = option(1, "processes that divide the cells")
    dry_run: bool = option(False, "print the commands of unfinished cells and stop")
    keep_going: bool = option(True, "after a cell that failed, run those that do not need it")


def main() -> None:
    """Expand the grid and run what is not finished."""
    given = sys.argv[1:]
    if given and not given[0].startswith("-"):
        given = ["--grid", *given]
    with exit_on_user_error():
        (arguments,) = parse_arguments(GridArguments, arguments=given)
        cells = chosen_cells(arguments)
        waiting = [cell for cell in cells if not is_finished(cell)]
    print(f"{len(cells)} cells, {len(cells) - len(waiting)} finished.")
    if arguments.dry_run:
        print("\n".join(" ".join(command_of(cell)) for cell in waiting))
        return
    with exit_on_user_error():
        failed = run_cells(waiting, arguments.keep_going)
    if failed:
        sys.exit("\n".join(f"{cell.name} failed: see {cell.folder / LOG}" for cell in failed))


def chosen_cells(arguments: GridArguments) -> list[GridCell]:
    """Return the cells of the grid that this process is to run.

    Raises:
        ValueError: no grid, a placeholder without value, an unknown cell, or no such shard.
    """
    if not arguments.grid or not Path(arguments.grid).is_file():
        raise ValueError(f"{arguments.grid or 'nothing'} is no file; expected a grid in YAML.")
    pairs = [text.partition("=") for text in arguments.set]
    for name, equals, value in pairs:
        if not (name and equals and value):
            raise ValueError(f"got --set {name}{equals}{value}; expected name=value.")
    if not 0 <= arguments.shard < arguments.num_shards:
        raise ValueError(f"got shard {arguments.shard} of {arguments.num_shards}; count from 0.")
    given = {name: value for name, _, value in pairs}
    grid = read_grid(arguments.grid)
    if arguments.seeds:
        grid = with_seeds(grid, arguments.seeds)
    _check_names(arguments.only, grid["cells"])
    _warn_of_missing(given)
    chosen = {**grid, "cells": needed_for(grid["cells"], arguments.only) or grid["cells"]}
    if not arguments.only:
        kept, lacking = without_values(grid["cells"], given)
        if kept and lacking:
            chosen["cells"] = kept
            names = ", ".join(sorted(set().union(*lacking.values())))
            print(f"Left out, as --set gives no {names}: {', '.join(lacking)}.")
    cells = expand(chosen, Path(arguments.folder).resolve(), given)
    known = {*grid["cells"], *(name for cell in cells for name in (cell.name, cell.folder.name))}
    if unknown := set(arguments.only) - known:
        raise ValueError(
            f"--only names {', '.join(sorted(unknown))}; expected some of "
            f"{', '.join(grid['cells'])}, or one of them with what is varied or its seed, such as "
            f"{cells[-1].folder.name}."
        )
    for cell in cells:
        if not ((SCRIPTS / cell.command[0]).is_file() or Path(cell.command[0]).is_file()):
            raise ValueError(
                f"cell {cell.name} runs {cell.command[0]}; expected a script of {SCRIPTS}."
            )
    if arguments.only:
        cells = _with_needs(cells, arguments.only)
    return cells[arguments.shard :: arguments.num_shards]


def _check_names(only: Sequence[str], cells: Mapping[str, Any]) -> None:
    """Refuse names that are of no cell, before cells are filled in."""
    starts = tuple(f"{cell}-" for cell in cells)
    unknown = [name for name in only if name not in cells and not name.startswith(starts)]
    if unknown:
        raise ValueError(
            f"--only names {', '.join(unknown)}; expected some of {', '.join(cells)}, or one of "
            "them with what is varied or its seed, such as rspin-seed0."
        )


def _warn_of_missing(given: Mapping[str, str]) -> None:
    """Name values that are no folder: a Hub id, or a mistake that would stop the cells."""
    for name, value in given.items():
        if value not in ("bundled", "synthetic") and not Path(value).exists():
            print(f"--set {name}={value} is no folder or file here; is it an id of the Hub?")


def is_finished(cell: GridCell) -> bool:
    """Say whether a cell was run to its end.

    Raises:
        ValueError: it was, by another command.
    """
    done = cell.folder / DONE
    if not done.is_file():
        return False
    try:
        before = json.loads(done.read_text(encoding="utf-8"))["command"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{done} is damaged ({error}): remove it, and the cell runs.") from error
    if before != list(cell.command):
        raise ValueError(
            f"{cell.folder} holds what another command made ({' '.join(before)}): give --folder "
            "with another folder, or remove this one."
        )
    return True


def run_cells(cells: Sequence[GridCell], keep_going: bool) -> list[GridCell]:
    """Run cells in their order; return those that failed, or whose needs did."""
    failed: list[GridCell] = []
    for cell in (bar := tqdm(cells, desc="cells")):
        bar.set_postfix_str(cell.folder.name)
        if not _wait_for_needs(cell, failed) or not _run(cell):
            failed.append(cell)
            if not keep_going:
                break
    return failed


def command_of(cell: GridCell) -> list[str]:
    """Return the command of a cell, its script found, with output folder and seed."""
    script, *options = cell.command
    place = SCRIPTS / script
    words = [sys.executable, str(place if place.is_file() else script), *map(_found, options)]
    words += ["--output_dir", str(cell.folder)]
    return words if cell.seed is None else [*words, "--seed", str(cell.seed)]


def _found(word: str) -> str:
    """Return the place of a config that is named relative to the scripts."""
    place = SCRIPTS / word
    return str(place) if word.endswith((".yaml", ".yml")) and place.is_file() else word


def _run(cell: GridCell) -> bool:
    """Run a cell and write what is known of it; False where it failed."""
    cell.folder.mkdir(parents=True, exist_ok=True)
    with FileLock(cell.folder / "cell.lock"):  # of a process with the same shard
        return is_finished(cell) or _run_alone(cell)


def _run_alone(cell: GridCell) -> bool:
    (cell.folder / FAILED).unlink(missing_ok=True)
    command, start = command_of(cell), time.time()
    with open(cell.folder / LOG, "ab") as log:
        done = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        write_json(cell.folder / FAILED, {"name": cell.name, "status": done.returncode})
        return False
    about = {
        "name": cell.name, "seed": cell.seed, "command": list(cell.command),
        "seconds": round(time.time() - start, 1), "date": time.strftime("%Y-%m-%d"),
        "revision": _revision(), "device": _device(), "torch": torch.__version__,
    }  # fmt: skip
    write_json(cell.folder / DONE, about)
    return True


def _wait_for_needs(cell: GridCell, failed: Sequence[GridCell]) -> bool:
    """Wait until other processes have finished what the cell needs; False where that failed.

    A failure from before this process began may be tried again at this moment, and does not count.
    """
    lost, told = {one.folder for one in failed}, False
    while missing := [need for need in cell.needs if not (need / DONE).is_file()]:
        if any(need in lost or _failed_since(need, STARTED) for need in missing):
            return False
        if not told:
            tqdm.write(f"{cell.folder.name} waits for {missing[0].name}, of another process.")
            told = True
        time.sleep(POLL)
    return True


def _failed_since(folder: Path, time_: float) -> bool:
    try:
        return (folder / FAILED).stat().st_mtime >= time_
    except FileNotFoundError:
        return False


def _with_needs(cells: Sequence[GridCell], names: Sequence[str]) -> list[GridCell]:
    """Return the cells of these names and all that they need."""
    wanted = {cell.folder for cell in cells if _is_named(cell, names)}
    for cell in reversed(cells):
        if cell.folder in wanted:
            wanted |= set(cell.needs)
    return [cell for cell in cells if cell.folder in wanted]


def _is_named(cell: GridCell, names: Sequence[str]) -> bool:
    named = (cell.name, cell.folder.name)
    return any(name in named or cell.name.startswith(f"{name}-") for name in names)


def _revision() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=SCRIPTS, capture_output=True, text=True
    )
    return done.stdout.strip() or "unknown"


def _device() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"CPU ({platform.machine()}), {torch.get_num_threads()} threads"


def read_cells(folder: str | Path) -> list[dict]:
    """Return what finished cells say of themselves."""
    return [json.loads(path.read_text()) for path in sorted(Path(folder).glob(f"*/{DONE}"))]


if __name__ == "__main__":
    main()
