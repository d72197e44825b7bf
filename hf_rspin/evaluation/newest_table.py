"""The cells of the newest table in the folder of an evaluation; the folder may hold others."""

from __future__ import annotations

import json
from pathlib import Path

from hf_rspin.evaluation.cells import Cell, read_cells


def newest_table(evaluation: Path) -> tuple[list[Cell], str | None] | None:
    """Return the cells that `results.json` is made of, in its order, and the reference it names.

    Other cells of the folder are of other utterances, settings or definitions: no table mixes them.

    Args:
        evaluation: folder of `hf-rspin evaluate`.

    Returns:
        None where no `results.json` says it, or where one of its cells is gone.
    """
    try:
        content = json.loads((evaluation / "results.json").read_text(encoding="utf-8"))
        names, reference = content["cells"], content["reference"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    found = {cell.path(Path()).name: cell for cell in read_cells(evaluation / "cells")}
    if not names or not set(names) <= set(found):
        return None
    return [found[name] for name in names], reference
