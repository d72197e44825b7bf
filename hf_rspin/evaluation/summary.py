"""What got better and what got worse, in sentences that the measured numbers decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from hf_rspin.evaluation.conditions import CLEAN
from hf_rspin.evaluation.probes import Metric
from hf_rspin.evaluation.table import DIFFERENCE, METRICS, over_seeds, with_labels

SIGNIFICANT = 0.05
UNTESTED = 0.01  # least change of a mean over layers, for which there is no test
MOST_NAMES = 5  # in a caption; more are in the legend or the first column
BETTER, WORSE, EQUAL = "Better", "Worse", "No difference found"


def what_changed(
    table: pd.DataFrame, metrics: Sequence[Metric] = METRICS, reference: str | None = None
) -> list[str]:
    """Return a few sentences per encoder, which is compared with the reference.

    Error rates are compared by their paired test, condition by condition. Numbers per layer that
    have a better direction are compared by their mean over layers, on clean speech and over all
    distortions; for these there is no test.

    Args:
        table: of `to_table`.
        metrics: what may be said.
        reference: the encoder to compare with; default the first.

    Returns:
        Nothing where there is one encoder only.
    """
    table = with_labels(over_seeds(table))
    names = list(dict.fromkeys(table["encoder"]))
    before = reference or (names[0] if names else "")
    sentences = []
    for name in names:
        if name == before:
            continue
        found: dict[str, list[str]] = {BETTER: [], WORSE: [], EQUAL: []}
        for metric in metrics:
            tested = _tested(table, metric, before, name)
            for outcome, text in tested or _untested(table, metric, before, name):
                found[outcome].append(text)
        parts = [f"{outcome}: {'; '.join(texts)}." for outcome, texts in found.items() if texts]
        if parts:
            sentences.append(f"{name} against {before}. {' '.join(parts)}")
    return sentences


def _tested(
    table: pd.DataFrame, metric: Metric, before: str, after: str
) -> list[tuple[str, str]]:
    """Return a text per outcome: the metric, and its differences in the conditions."""
    if metric.better is None:
        return []
    paired = table[
        (table["metric"] == metric.name + DIFFERENCE) & (table["encoder"] == after)
        & (table["reference"] == before)
    ]  # fmt: skip
    found: dict[str, list[str]] = {}
    for _, line in paired.iterrows():
        less_is_better = metric.better != "higher"
        outcome = BETTER if (line["value"] < 0) == less_is_better else WORSE
        outcome = EQUAL if line["p_value"] >= SIGNIFICANT else outcome
        change = f"{line['label']} {100 * line['value']:+.1f}"
        found.setdefault(outcome, []).append(change)
    short = metric.label.removesuffix(", %")
    return [(outcome, f"{short}, points: {', '.join(texts)}") for outcome, texts in found.items()]


def _untested(
    table: pd.DataFrame, metric: Metric, before: str, after: str
) -> list[tuple[str, str]]:
    """Return the change of a mean over layers, on clean speech and over the distortions."""
    part = table[(table["metric"] == metric.name) & table["layer"].notna()]
    if metric.better is None or part.empty:
        return []
    short, found = metric.label.removesuffix(", %"), []
    for where, is_clean in (("clean", True), ("distorted", False)):
        lines = part[(part["condition"] == CLEAN) == is_clean]
        if metric.conditions == "clean" and not is_clean:
            continue
        both = [lines[lines["encoder"] == name] for name in (before, after)]
        shared = set(both[0]["label"]) & set(both[1]["label"])
        if not shared:
            continue
        old, new = (float(one[one["label"].isin(shared)]["value"].mean()) for one in both)
        rose = (new > old) == (metric.better == "higher")
        outcome = EQUAL if abs(new - old) < UNTESTED else BETTER if rose else WORSE
        text = f"{short}, {where}, mean of layers, not tested: "
        text += f"{metric.text(old)} to {metric.text(new)}"
        found.append((outcome, text))
    return found


def context(about: Mapping[str, Any], table: pd.DataFrame) -> str:
    """Return what every caption says: corpus, utterances, SNR, seeds, encoders, date.

    Args:
        about: of a cell: corpus, num_test, num_train, date; what is missing is not said.
        table: of `to_table`.
    """
    ratios = sorted({f"{x:g}" for x in table["snr_db"].dropna()}, key=float)
    seeds = sorted(set(table["seed"].dropna().astype(int)))
    parts = [
        f"Corpus {about['corpus']}" if "corpus" in about else "",
        f"{about['num_test']} test utterances" if "num_test" in about else "",
        f"SNR {', '.join(ratios)} dB" if ratios else "",
        f"{len(seeds)} seeds" if len(seeds) > 1 else "one seed" if seeds else "",
        _encoders(list(dict.fromkeys(table["encoder"]))),
        str(about.get("date", "")),
    ]
    return "; ".join(part for part in parts if part) + "."


def _encoders(names: Sequence[str]) -> str:
    if len(names) > MOST_NAMES:
        return f"{len(names)} encoders, from {names[0]} to {names[-1]}"
    return f"encoder{'s' if len(names) > 1 else ''} {', '.join(names)}" if names else ""
