"""What an evaluation measured of a model, as a part of the model's card."""

from __future__ import annotations

from pathlib import Path

from hf_rspin.evaluation.cells import Cell
from hf_rspin.evaluation.features import PretrainedEncoderFeatures
from hf_rspin.evaluation.long_table import to_table
from hf_rspin.evaluation.newest_table import newest_table
from hf_rspin.evaluation.overview import overview
from hf_rspin.evaluation.table import layer_summary, markdown_table


def results_for_card(evaluation: str | Path, folder: str | Path) -> str:
    """Return tables of what was measured with the very weights in a folder, and beside what.

    Only what the newest table of the evaluation holds counts. Its reference stands beside the
    model, or else its first other encoder: usually the one before training.

    Args:
        evaluation: folder of `hf-rspin evaluate`.
        folder: of the model.

    Raises:
        ValueError: nothing was measured, or with other weights only.
    """
    table = newest_table(Path(evaluation))
    if table is None and any((Path(evaluation) / "cells").glob("*.json")):
        raise ValueError(
            f"{evaluation} does not say which of its results make a table: repeat `hf-rspin "
            "evaluate` on it, which says it (and measures again what a former version measured)."
        )
    if table is None:
        raise ValueError(
            f"{evaluation} holds no results; expected a folder of `hf-rspin evaluate`."
        )
    cells, reference = table
    features = PretrainedEncoderFeatures.from_pretrained(folder)
    own = set()
    for features.bf16 in (True, False):
        own.add(features.fingerprint())
    names = list(dict.fromkeys(cell.encoder for cell in cells if cell.key["encoder"] in own))
    others = list(dict.fromkeys(cell.encoder for cell in cells if cell.encoder not in names))
    if not names:
        raise ValueError(
            f"{evaluation} measured {', '.join(others)}, none with the weights of {folder}: "
            "measure it with `hf-rspin evaluate`, this folder among --encoders."
        )
    beside = [reference] if reference in others else others[:1]
    shown = [*beside, names[0]]
    return _text([cell for cell in cells if cell.encoder in shown], names[0], beside)


def _text(cells: list[Cell], name: str, reference: list[str]) -> str:
    table = to_table(cells)
    about = cells[0].about
    parts = [
        f"Frozen features, measured on {about.get('date', 'a day not recorded')} on "
        f"{about.get('corpus', 'a corpus not recorded')}, {about.get('num_test', '?')} utterances"
        + (f"; `{name}` is this model, {reference[0]} stands beside it." if reference else ".")
    ]
    sections = [overview(table), layer_summary(table)]
    parts += [
        markdown_table(one.headers, one.rows) for one in sections if one is not None and one.rows
    ]
    return "\n\n".join(parts)
