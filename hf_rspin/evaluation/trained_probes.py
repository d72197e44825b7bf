"""What cells tell of how their probes were trained: rates that were tried, and what was learned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hf_rspin.evaluation.cells import Cell
from hf_rspin.evaluation.conditions import CLEAN
from hf_rspin.evaluation.table import NOTHING, Section

NOTHING_LEARNED = 0.95  # error rate from which on a recogniser says nothing of use
CURE = "give another --learning_rate, or more updates (--num_updates)"


def search_section(cells: Sequence[Cell]) -> Section | None:
    """Return the learning rates of trained probes with their dev errors; None without any.

    Args:
        cells: of `Evaluation.cells`; those of clean speech tell the training.
    """
    trained = list(_trained(cells))
    rates = sorted({one["learning_rate"] for cell in trained for one in _tried(cell)})
    if not trained:
        return None
    several = len({(cell.encoder, cell.probe) for cell in trained}) < len(trained)
    rows = []
    for cell in trained:
        tried = {one["learning_rate"]: one["dev_error"] for one in _tried(cell)}
        chosen = cell.details["learning_rate"]
        name = f"{cell.encoder}, {cell.probe}" + (f", seed {cell.seed}" if several else "")
        errors = [
            (_percent(tried[rate]) if rate in tried else NOTHING) + (" *" if rate == chosen else "")
            for rate in rates
        ]
        rows.append([name, f"{chosen:g}", _percent(cell.details["dev_error"]), *errors])
    headers = ["encoder, probe", "learning rate", "dev error", *(f"{rate:g}" for rate in rates)]
    caption = (
        "Learning rate of each trained probe, and its error on the utterances held out from "
        "training to choose weights."
    )
    if rates:
        caption += (
            " Right: the rates that were tried by short trainings, with the error of each; * the "
            "one that was then trained in full (of errors from 90 % on, the loss decides)."
        )
    return Section("Learning rates of the trained probes, dev error, %", headers, rows, caption)


def learned_nothing(cells: Sequence[Cell]) -> list[str]:
    """Return a sentence per encoder and probe that is no better than guessing.

    Args:
        cells: of `Evaluation.cells`.
    """
    found: dict[tuple[str, str], list[str]] = {}
    for cell in _trained(cells):
        details = cell.details
        if details["dev_error"] >= details.get("guessing_error", NOTHING_LEARNED):
            place = (cell.probe, cell.encoder)
            found.setdefault(place, []).append(f"{100 * details['dev_error']:.1f}")
    sentences = [
        f"{probe} of {encoder} learned nothing (dev error {', '.join(errors)} %): {CURE}."
        for (probe, encoder), errors in found.items()
    ]
    return sentences + [_of_layers(cell) for cell in cells if _guesses(cell)]


def _guesses(cell: Cell) -> bool:
    """Say whether no layer names frames better than the most frequent class does."""
    share = cell.details.get("majority")
    best = max((row.value for row in cell.rows), default=1.0)
    return cell.condition == CLEAN and share is not None and best <= share


def _of_layers(cell: Cell) -> str:
    return (
        f"{cell.probe} of {cell.encoder} learned nothing (in no layer better than the most "
        f"frequent phone, {100 * cell.details['majority']:.1f} %): check the alignments, or give "
        "more training utterances."
    )


def _trained(cells: Sequence[Cell]) -> Iterator[Cell]:
    return (cell for cell in cells if "dev_error" in cell.details)


def _tried(cell: Cell) -> list[dict]:
    return cell.details.get("search") or []


def _percent(error: float | None) -> str:
    return "diverged" if error is None else f"{100 * error:.1f}"
