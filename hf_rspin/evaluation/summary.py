"""What got better and what got worse, in sentences that the measured numbers decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from hf_rspin.evaluation.conditions import CLEAN
from hf_rspin.evaluation.long_table import DIFFERENCE, METRICS, over_seeds, with_labels
from hf_rspin.evaluation.probes import Metric

SIGNIFICANT = 0.05
UNTESTED = 0.01  # least change of the best layer, for which there is no test
MOST_NAMES = 5  # in a caption; more are in the legend or the first column
R_VALUE, EQUAL_LENGTH = "boundary_r_value", "boundary_r_value_equal_length"
FOUND, WARNINGS = "What was found", "Warnings, and what is left out"  # headings
BETTER, WORSE, EQUAL = "better", "worse", "no difference found"
NOT_TESTED = "by the best layer of each, not tested: "


def what_changed(
    table: pd.DataFrame, metrics: Sequence[Metric] = METRICS, reference: str | None = None
) -> list[str]:
    """Return what is better, worse or equal, of each encoder against the reference.

    What has a paired test is compared by it, condition by condition. Other numbers per layer that
    have a better direction (CKA, or cells of before there was a test) are compared between the best
    layer of one and the best of the other (encoders may have other depths), on clean speech and in
    the mean of the distortions.

    Args:
        table: of `to_table`.
        metrics: what may be said.
        reference: the encoder to compare with; default the first.

    Returns:
        A text per encoder and outcome; nothing where there is one encoder only.
    """
    table = with_labels(over_seeds(table))
    names = list(dict.fromkeys(table["encoder"]))
    before = reference or (names[0] if names else "")
    sentences = []
    for name in names:
        if name == before:
            continue
        pair = table[table["encoder"].isin((before, name))]
        known = set(pair["metric"])
        said = [
            (outcome, how, text)
            for metric in metrics if metric.name in known
            for how, texts in (
                ("", _tested(pair, metric, before, name)),
                (NOT_TESTED, _untested(pair, metric, before, name)),
            )
            for outcome, text in texts
        ]  # fmt: skip
        for outcome in (BETTER, WORSE, EQUAL):
            found = {
                how: [text for one, by, text in said if (one, by) == (outcome, how)]
                for how in ("", NOT_TESTED)
            }
            parts = [how + "; ".join(texts) for how, texts in found.items() if texts]
            if parts:
                sentences.append(f"{name} against {before}, {outcome}: {'; '.join(parts)}.")
    return sentences


def found_out(
    table: pd.DataFrame, metrics: Sequence[Metric] = METRICS, reference: str | None = None
) -> list[str]:
    """Return `what_changed`, and how boundaries of units compare with the simplest ones."""
    baseline = boundaries_against_baseline(table)
    return [*what_changed(table, metrics, reference), *([baseline] if baseline else [])]


def boundaries_against_baseline(table: pd.DataFrame) -> str | None:
    """Say which encoders' units find boundaries better than equal-length segments do, untested.

    Args:
        table: of `to_table`; None where segmentation was not measured.
    """
    clean = over_seeds(table[table["condition"] == CLEAN])
    found, beaten = [], []
    for name in dict.fromkeys(clean["encoder"]):
        mine = clean[clean["encoder"] == name].set_index("metric")["value"]
        lines = clean[(clean["encoder"] == name) & (clean["metric"] == R_VALUE)]
        if lines["value"].isna().all() or EQUAL_LENGTH not in mine:
            continue
        best, baseline = lines.loc[lines["value"].idxmax()], mine[EQUAL_LENGTH]
        is_above = best["value"] > baseline
        beaten += [name] if is_above else []
        found.append(
            f"{name} {100 * best['value']:.1f} (layer {best['layer']}) "
            f"{'above' if is_above else 'not above'} {100 * baseline:.1f}"
        )
    if not found:
        return None
    who = f"the units of {', '.join(beaten)} are" if beaten else "no encoder's units are"
    return (
        f"Phone boundaries on clean speech, not tested: {who} above segments of equal length, "
        f"given their number (R-value in %, best layer: {'; '.join(found)})."
    )


def _tested(
    table: pd.DataFrame, metric: Metric, before: str, after: str
) -> list[tuple[str, str]]:
    """Return a text per outcome: the metric, and its differences in the conditions."""
    if metric.better is None:
        return []
    paired = _paired(table, metric, before, after)
    found: dict[str, list[str]] = {}
    for _, line in paired.iterrows():
        less_is_better = metric.better != "higher"
        outcome = BETTER if (line["value"] < 0) == less_is_better else WORSE
        outcome = EQUAL if line["p_value"] >= SIGNIFICANT else outcome
        change = f"{line['label']} {metric.change(line['value'])}"
        found.setdefault(outcome, []).append(change)
    short = metric.label.removesuffix(", %")
    short += ", each at its best layer" if paired["layer"].notna().any() else ""
    short += ", points" if metric.percent else ""
    return [(outcome, f"{short}: {', '.join(texts)}") for outcome, texts in found.items()]


def _paired(table: pd.DataFrame, metric: Metric, before: str, after: str) -> pd.DataFrame:
    """Return the rows of a paired test."""
    return table[
        (table["metric"] == metric.name + DIFFERENCE) & (table["encoder"] == after)
        & (table["reference"] == before)
    ]  # fmt: skip


def _untested(
    table: pd.DataFrame, metric: Metric, before: str, after: str
) -> list[tuple[str, str]]:
    """Return the change from best layer to best layer, on clean speech and in distortions.

    Of conditions that have no test only.
    """
    part = table[(table["metric"] == metric.name) & table["layer"].notna()]
    part = part[~part["label"].isin(_paired(table, metric, before, after)["label"])]
    if metric.better is None or part.empty:
        return []
    short, found = metric.label.removesuffix(", %"), []
    for where, is_clean in (("clean", True), ("distorted", False)):
        lines = part[(part["condition"] == CLEAN) == is_clean]
        if metric.conditions == "clean" and not is_clean:
            continue
        both = [lines[lines["encoder"] == name] for name in (before, after)]
        shared = set(both[0]["label"]) & set(both[1]["label"])
        best = [_best(one[one["label"].isin(shared)], metric) for one in both]
        if None in best:
            continue
        (old_layer, old), (new_layer, new) = best
        rose = (new > old) == (metric.better == "higher")
        outcome = EQUAL if abs(new - old) < UNTESTED else BETTER if rose else WORSE
        text = f"{short}, {where}: {metric.text(old)} "
        text += f"(layer {old_layer}) to {metric.text(new)} (layer {new_layer})"
        found.append((outcome, text))
    return found


def _best(lines: pd.DataFrame, metric: Metric) -> tuple[int, float] | None:
    """Return the best layer in the mean of the conditions, and that mean; None without any."""
    means = lines.groupby("layer")["value"].mean().dropna()
    if means.empty:
        return None
    layer = means.idxmax() if metric.better == "higher" else means.idxmin()
    return int(layer), float(means[layer])


def context(about: Mapping[str, Any], table: pd.DataFrame) -> str:
    """Return what every caption says: corpus, utterances, SNR, seeds, encoders, date.

    Args:
        about: of a cell: corpus, num_test, num_train, date, precision, and `conditions`: what
            those of the table are made of, by name; what is missing is not said.
        table: of `to_table`.
    """
    ratios = sorted({f"{x:g}" for x in table["snr_db"].dropna()}, key=float)
    seeds = sorted(set(table["seed"].dropna().astype(int)))
    parts = [
        _corpus(about),
        f"{about['num_test']} test utterances" if "num_test" in about else "",
        f"SNR {', '.join(ratios)} dB" if ratios else "",
        f"{len(seeds)} seeds" if len(seeds) > 1 else "one seed" if seeds else "",
        _conditions(about.get("conditions", {}), table),
        _encoders(list(dict.fromkeys(table["encoder"])), about.get("precision")),
        str(about.get("date", "")),
    ]
    return "; ".join(part for part in parts if part) + "."


def _corpus(about: Mapping[str, Any]) -> str:
    if "corpus" not in about:
        return ""
    split = about.get("test_split", "none")
    return f"Corpus {about['corpus']}" + (f", split {split}" if split != "none" else "")


def _conditions(made_of: Mapping[str, str], table: pd.DataFrame) -> str:
    names = [name for name in dict.fromkeys(table["condition"]) if name in made_of]
    return ", ".join(f"{name.replace('_', ' ')} ({made_of[name]})" for name in names)


def _encoders(names: Sequence[str], precision: str | None) -> str:
    how = f" ({precision})" if precision else ""
    if len(names) > MOST_NAMES:
        return f"{len(names)} encoders{how}, from {names[0]} to {names[-1]}"
    return f"encoder{'s' if len(names) > 1 else ''}{how} {', '.join(names)}" if names else ""
