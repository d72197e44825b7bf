"""The range of each voice, where a corpus knows it: columns `f0_floor` and `f0_ceiling` in Hz."""

from __future__ import annotations

import datasets
import numpy as np

from hf_rspin.views import ANALYSIS_RATE

F0_COLUMNS = ("f0_floor", "f0_ceiling")  # Hz; optional, else estimated from the utterance
HIGHEST_F0 = ANALYSIS_RATE // 4  # Hz


def f0_range(row: dict) -> tuple[float, float] | None:
    """Return the range of the voice in Hz; None where a number is left out."""
    floor, ceiling = (row.get(name) for name in F0_COLUMNS)
    if floor is None or ceiling is None or np.isnan(floor) or np.isnan(ceiling):
        return None
    return float(floor), float(ceiling)


def check_f0_ranges(corpus: datasets.Dataset) -> None:
    """Refuse ranges now that the views would refuse hours later.

    Raises:
        ValueError: a range is not of numbers, or not one that `estimate_f0` takes.
    """
    if not set(F0_COLUMNS) <= set(corpus.column_names):
        return
    columns = (corpus[name][:] for name in F0_COLUMNS)
    for index, values in enumerate(zip(*columns, strict=True)):
        numbers = all(value is None or isinstance(value, int | float) for value in values)
        known = f0_range(dict(zip(F0_COLUMNS, values, strict=True))) if numbers else None
        if not numbers or (known and not 0 < known[0] < known[1] <= HIGHEST_F0):
            raise ValueError(
                f"f0_floor and f0_ceiling of {corpus['id'][index]} are {values[0]} and "
                f"{values[1]}; expected Hz, 0 < floor < ceiling <= {HIGHEST_F0}: correct the row, "
                "or leave both empty."
            )
