"""What an adaptation changed, in a sentence that the measured numbers decide."""

from __future__ import annotations

import pandas as pd

from hf_rspin.evaluation.conditions import CLEAN

ACCURACY, SIMILARITY = "phone_accuracy", "cka_debiased"
LEAST_CHANGE = 0.01  # a point of accuracy: a smaller change is no change on minutes of speech


def verdict(table: pd.DataFrame, before: str, after: str) -> str:
    """Say whether robustness rose, and whether phone information on clean speech fell.

    A change below `LEAST_CHANGE` is called none; the figures are said all the same.

    With linear phone accuracy each encoder is read at its best layer on clean speech; without,
    only the similarity (CKA) with clean speech can tell, which says nothing of phones.

    Args:
        table: of `to_table`, clean and under at least one distortion.
        before: name of the encoder that was adapted.
        after: name of what it became.
    """
    if ACCURACY in set(table["metric"]):
        return _of_phones(table, before, after)
    if SIMILARITY in set(table["metric"]):
        return _of_similarity(table, before, after)
    return "Neither phone accuracy nor similarity was measured: nothing can be said."


def _of_phones(table: pd.DataFrame, before: str, after: str) -> str:
    clean, noisy = zip(*(_accuracies(table, name) for name in (before, after)), strict=True)
    rise, fall = noisy[1] - noisy[0], clean[0] - clean[1]
    rose = rise > LEAST_CHANGE
    robust = "noise robustness rose" if rose else "noise robustness did not rise"
    if fall > LEAST_CHANGE:
        phones = f"phone information on clean speech fell by {100 * fall:.1f} points"
    else:
        phones = "phone information did not fall"
    link = "without phone information falling" if rose and fall <= LEAST_CHANGE else None
    said = f"{robust} {link}" if link else f"{robust}, and {phones}"
    return (
        f"{said[0].upper()}{said[1:]}: a linear classifier names {100 * noisy[0]:.1f} -> "
        f"{100 * noisy[1]:.1f} % of phones right in noise and rooms (mean of the conditions), and "
        f"{100 * clean[0]:.1f} -> {100 * clean[1]:.1f} % on clean speech, each at its best layer."
    )


def _accuracies(table: pd.DataFrame, encoder: str) -> tuple[float, float]:
    """Return accuracy on clean speech and the mean of the distortions, at the best clean layer."""
    rows = table[(table["encoder"] == encoder) & (table["metric"] == ACCURACY)]
    clean = rows[rows["condition"] == CLEAN]
    best = clean.loc[clean["value"].idxmax()]
    others = rows[(rows["condition"] != CLEAN) & (rows["layer"] == best["layer"])]
    return float(best["value"]), float(others["value"].mean())


def _of_similarity(table: pd.DataFrame, before: str, after: str) -> str:
    means = [
        float(table[(table["encoder"] == name) & (table["metric"] == SIMILARITY)]["value"].mean())
        for name in (before, after)
    ]
    change = "rose" if means[1] - means[0] > LEAST_CHANGE else "did not rise"
    return (
        f"Similarity with clean speech under noise and rooms {change}: CKA {means[0]:.2f} -> "
        f"{means[1]:.2f} (mean of layers and conditions); whether phones are told as well as "
        "before needs phone alignments, which these recordings do not have."
    )
