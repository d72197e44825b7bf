"""What a grid must be, before anything of it runs."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

FIELDS = {"command", "needs", "seeds", "like", "vary", "options"}
NAME = re.compile(r"[\w.+-]*\w[\w.+-]*")  # of a folder, and no path


def check_grid(content: Any, path: object) -> None:
    """Refuse what is no grid.

    Raises:
        ValueError: says which cell is wrong, and what was expected.
    """
    if not isinstance(content, dict) or not isinstance(content.get("cells"), dict):
        raise ValueError(f"{path} is no grid; expected a mapping `cells`, see grid.py.")
    if not content["cells"]:
        raise ValueError(f"{path} has no cells; expected one or more.")
    check_seeds(content.get("seeds", [0]), f"{path}")
    for name, cell in content["cells"].items():
        where = f"cell {name} of {path}"
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise ValueError(f"{where} has no name for a folder; expected letters, digits, _ - .")
        if not isinstance(cell, dict):
            raise ValueError(f"{where} is {cell!r}; expected a mapping with a `command`.")
        if unknown := set(map(str, cell)) - FIELDS:
            known = ", ".join(sorted(FIELDS))
            raise ValueError(
                f"{where} has unknown fields {', '.join(sorted(unknown))}; expected {known}."
            )
        check_cell(cell, where)


def check_cell(cell: Mapping[str, Any], where: str) -> None:
    """Refuse the fields of a cell that are not what they must be; see `check_grid`."""
    if not ("command" in cell or "like" in cell):
        raise ValueError(f"{where} does nothing; expected `command` or `like`.")
    for field in ("command", "options", "like"):
        text = cell.get(field, "x")
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"{where} has {field} {text!r}; expected a text.")
        try:
            shlex.split(text)
        except ValueError as error:
            raise ValueError(f"{where} has {field} {text!r}: {error}.") from error
    needs = cell.get("needs", [])
    if not isinstance(needs, list) or not all(isinstance(need, str) for need in needs):
        raise ValueError(f"{where} has needs {needs!r}; expected a list of names of cells.")
    if "seeds" in cell:
        check_seeds(cell["seeds"], where)
    vary = cell.get("vary")
    if vary is not None and not (
        isinstance(vary, dict) and isinstance(vary.get("option"), str)
        and isinstance(vary.get("values"), list) and vary["values"]
        and all(NAME.fullmatch(str(value)) for value in vary["values"])
        and len(set(map(str, vary["values"]))) == len(vary["values"])
    ):  # fmt: skip
        raise ValueError(
            f"{where} has vary {vary!r}; expected an `option` and a list of different `values`, "
            "which are parts of names of folders."
        )


def check_seeds(seeds: Any, where: str) -> None:
    """Raise ValueError where seeds are neither none nor different whole numbers."""
    if seeds in (None, "none"):
        return
    good = isinstance(seeds, list) and seeds and all(type(seed) is int for seed in seeds)
    if not good or len(set(seeds)) < len(seeds):
        raise ValueError(f"{where} has seeds {seeds!r}; expected different whole numbers, or none.")
