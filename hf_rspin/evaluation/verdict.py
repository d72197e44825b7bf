"""What an adaptation changed, in a sentence that the measured numbers decide."""

from __future__ import annotations

import pandas as pd

from hf_rspin.evaluation.conditions import CLEAN

ROSE, FELL, EQUAL = "rose", "fell", "did not change"
IN_WORDS = {
    "gaussian": "Gaussian noise", "noise seen": "seen noise", "noise unseen": "unseen noise",
    "babble": "babble noise", "reverb": "rooms", "telephone": "telephone coding",
}  # fmt: skip
OUTCOMES = (ROSE, FELL, EQUAL)
ACCURACY, SIMILARITY = "phone_accuracy", "cka_debiased"
ROUNDING = 1e-9
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
    clean, distorted = zip(*(_accuracies(table, name) for name in (before, after)), strict=True)
    found = _together(pd.DataFrame({before: distorted[0], after: distorted[1]}).dropna())
    if not found:
        return "No distortion was measured for both encoders: nothing can be said of robustness."
    noises = {name: pair for name, pair in found.items() if _is_noise(name)}
    head = f"{'noise robustness' if noises else 'robustness'} {_rise(noises or found)}"
    fallen = [name for name in found if name not in noises and _outcome(*found[name]) == FELL]
    if noises and fallen:
        head += f", robustness to {' and '.join(fallen)} fell"
    fall = clean[0] - clean[1]
    if fall > LEAST_CHANGE:
        said = f"{head}, and phone information on clean speech fell by {100 * fall:.1f} points"
    elif head.endswith("rose"):
        said = f"{head} without phone information falling"
    else:
        said = f"{head}, and phone information did not fall"
    first, *others = (f"{100 * a:.1f} -> {100 * b:.1f} % {{}}in {n}" for n, (a, b) in found.items())
    rates = ", ".join([first.format("of phones right "), *(one.format("") for one in others)])
    return (
        f"{said[0].upper()}{said[1:]}: a linear classifier names {rates}, and "
        f"{100 * clean[0]:.1f} -> {100 * clean[1]:.1f} % on clean speech, each encoder at its best "
        "layer there."
    )


def _rise(found: dict[str, tuple[float, float]]) -> str:
    """Say whether what was measured rose: in all, in part, or not."""
    rose = [_outcome(*pair) == ROSE for pair in found.values()]
    if all(rose):
        return "rose"
    if any(rose):
        return "rose in part"
    return "fell" if any(_outcome(*pair) == FELL for pair in found.values()) else "did not rise"


def _accuracies(table: pd.DataFrame, encoder: str) -> tuple[float, pd.Series]:
    """Return accuracy on clean speech and of each distortion, at the layer best on the former."""
    rows = table[(table["encoder"] == encoder) & (table["metric"] == ACCURACY)]
    clean = rows[rows["condition"] == CLEAN]
    best = clean.loc[clean["value"].idxmax()]
    others = rows[(rows["condition"] != CLEAN) & (rows["layer"] == best["layer"])]
    means = others.groupby("condition", sort=False)["value"].mean()
    return float(best["value"]), means


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
    if len(set(names.values())) < len(names):  # "noise" and "noise (unseen)"
        names = {name: str(name) for name in means.index}
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
    if abs(new - old) <= LEAST_CHANGE + ROUNDING:
        return EQUAL
    return ROSE if new > old else FELL
