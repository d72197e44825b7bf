"""What an adaptation changed, in a sentence that the measured numbers decide."""

from __future__ import annotations

import pandas as pd

from hf_rspin.evaluation.conditions import CLEAN

ROSE, FELL, EQUAL = "rose", "fell", "did not change"
IN_WORDS = {"gaussian": "Gaussian noise", "telephone": "telephone coding"}
OUTCOMES = (ROSE, FELL, EQUAL)
ACCURACY, SIMILARITY = "phone_accuracy", "cka_debiased"
LEAST_CHANGE = 0.01  # a point of accuracy: a smaller change is no change on minutes of speech


def verdict(table: pd.DataFrame, before: str, after: str, clean: str = "clean speech") -> str:
    """Say whether robustness rose, and whether phone information on clean speech fell.

    A change below `LEAST_CHANGE` is called none; the figures are said all the same.

    With linear phone accuracy each encoder is read at its best layer on clean speech; without,
    only the similarity (CKA) with clean speech can tell, which says nothing of phones; what rose
    and what fell is named apart.

    Args:
        table: of `to_table`, clean and under at least one distortion.
        before: name of the encoder that was adapted.
        after: name of what it became.
        clean: how speech without distortion is called where similarity is told.
    """
    if ACCURACY in set(table["metric"]):
        return _of_phones(table, before, after)
    if SIMILARITY in set(table["metric"]):
        return _of_similarity(table, before, after, clean)
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


def _of_similarity(table: pd.DataFrame, before: str, after: str, clean: str) -> str:
    rows = table[(table["metric"] == SIMILARITY) & (table["condition"] != CLEAN)]
    means = rows.groupby(["condition", "encoder"], sort=False)["value"].mean().unstack("encoder")
    found: dict[str, list[str]] = {}
    for name, (old, new) in _together(means[[before, after]]).items():
        found.setdefault(_outcome(old, new), []).append(f"{name} ({old:.3f} -> {new:.3f})")
    said = [f"{outcome} in {', '.join(found[outcome])}" for outcome in OUTCOMES if outcome in found]
    return (
        f"Similarity with {clean} {'; it '.join(said)} (CKA, mean of the layers); whether phones "
        "are told as well as before needs phone alignments, which these recordings do not have."
    )


def _together(means: pd.DataFrame) -> dict[str, tuple[float, float]]:
    """Return (before, after) by name: of all noises in one where they changed alike, or of each."""
    names = {name: _plain(str(name)) for name in means.index}
    noises = means.loc[[name for name in names if _is_noise(names[name])]]
    alike = len({_outcome(*pair) for pair in noises.to_numpy()}) == 1
    found: dict[str, tuple[float, float]] = {}
    for name, (old, new) in zip(means.index, means.to_numpy(), strict=True):
        if alike and name in noises.index:
            found["noise"] = tuple(map(float, noises.mean()))
        else:
            found[names[name]] = (float(old), float(new))
    return found


def _plain(condition: str) -> str:
    """Return the name of a condition in a sentence."""
    name = condition.removesuffix(" (unseen)").replace("_", " ")
    return IN_WORDS.get(name.lower(), name)


def _is_noise(name: str) -> bool:
    return "noise" in name.split()


def _outcome(old: float, new: float) -> str:
    if abs(new - old) <= LEAST_CHANGE:
        return EQUAL
    return ROSE if new > old else FELL
