"""Several corpora as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import datasets

from hf_rspin.data.identifiers import prefixed_ids
from hf_rspin.data.memory import SEGMENTED, add_cells
from hf_rspin.data.tables import set_column


def join_corpora(
    parts: Sequence[datasets.Dataset], sources: Sequence[Any]
) -> datasets.Dataset:
    """Put corpora one after the other; a column that one lacks is empty there.

    Where ids repeat, all get the name of their folder or the number of their corpus in front.
    Cells that are text in one and numbers in another become text.

    Raises:
        ValueError: the columns cannot be joined.
    """
    ids = prefixed_ids([part["id"][:] for part in parts], sources)
    parts = [set_column(part, "id", keys) for part, keys in zip(parts, ids, strict=True)]
    if any(part.features["audio"] == SEGMENTED for part in parts):
        parts = [add_cells(part.remove_columns("audio"), part["audio"][:], True) for part in parts]
    kinds: dict[str, set[str]] = {}
    for part in parts:
        for name, feature in part.features.items():
            if isinstance(feature, datasets.Value) and feature.dtype != "null":
                kinds.setdefault(name, set()).add(feature.dtype)
    mixed = {name: _common_type(found) for name, found in kinds.items() if len(found) > 1}
    parts = [
        part.cast(datasets.Features({
            name: mixed.get(name, feature) for name, feature in part.features.items()
        }))
        for part in parts
    ]  # fmt: skip
    try:
        return datasets.concatenate_datasets(parts)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"the corpora cannot be joined, their columns differ ({error}): give equal columns "
            "the same kind of values."
        ) from error


def _common_type(dtypes: set[str]) -> datasets.Value:
    numbers = all(dtype.startswith(("float", "int", "uint")) for dtype in dtypes)
    return datasets.Value("float64" if numbers else "string")
