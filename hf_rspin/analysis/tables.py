"""The results of a comparison as markdown tables."""

from __future__ import annotations

from collections.abc import Sequence

from hf_rspin.analysis.results import ConditionResult, ResultsFile
from hf_rspin.evaluation.bootstrap import bootstrap_interval, paired_difference


def markdown_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out a table; the first column is text, the others are right-aligned."""
    rule = [":--"] + ["--:"] * (len(headers) - 1)
    lines = [headers, rule, *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def comparison_tables(results: ResultsFile, reference: str | None = None) -> str:
    """Return all tables: phone error rate, differences, CKA and speakers per layer, time.

    Args:
        results: finished or not; missing cells are "–".
        reference: the encoder that differences refer to; default the first.
    """
    names = results.encoders()
    reference = reference or names[0]
    if reference not in names:
        raise ValueError(f"reference {reference!r} is not among the encoders {names}.")
    everything = {name: results.conditions(name) for name in names}
    conditions = list(dict.fromkeys(c for found in everything.values() for c in found))
    sections = [
        ("Phone error rate, % [95 % bootstrap interval over utterances]",
         _per_rows(everything, conditions), ["encoder", *conditions]),
        (f"Difference to {reference}, points [95 % paired interval], * p < 0.05",
         _difference_rows(everything, conditions, reference), ["encoder", *conditions]),
        ("CKA with clean speech per layer (debiased linear; 1 = unchanged by the distortion)",
         *_layer_rows(everything, conditions, "cka_debiased", 3)),
        ("Speaker identification accuracy per layer, % (probe trained on clean speech)",
         *_layer_rows(everything, conditions, "speaker_accuracy", 1, 100)),
        ("Elapsed time, s", _time_rows(results, everything, conditions),
         ["encoder", "train features", "probe", "test features", *conditions]),
    ]
    return "\n\n".join(
        f"### {title}\n\n{markdown_table(headers, rows)}"
        for title, rows, headers in sections
        if rows
    )


def _per_rows(everything: dict, conditions: list[str]) -> list[list[str]]:
    def cell(result: ConditionResult | None) -> str:
        if result is None or result.counts is None:
            return "–"
        found = bootstrap_interval(result.counts)
        return f"{100 * found.value:.1f} [{100 * found.low:.1f}, {100 * found.high:.1f}]"

    rows = [[name, *(cell(found.get(c)) for c in conditions)] for name, found in everything.items()]
    return [row for row in rows if set(row[1:]) != {"–"}]


def _difference_rows(everything: dict, conditions: list[str], reference: str) -> list[list[str]]:
    base = everything[reference]

    def cell(found: dict[str, ConditionResult], condition: str) -> str:
        pair = [side.get(condition) for side in (base, found)]
        if any(result is None or result.counts is None for result in pair):
            return "–"
        gap = paired_difference(pair[0].counts, pair[1].counts)
        star = " *" if gap.p_value < 0.05 else ""
        return f"{100 * gap.value:+.1f} [{100 * gap.low:+.1f}, {100 * gap.high:+.1f}]{star}"

    rows = [
        [name, *(cell(found, c) for c in conditions)]
        for name, found in everything.items() if name != reference
    ]
    return [row for row in rows if set(row[1:]) != {"–"}]


def _layer_rows(
    everything: dict, conditions: list[str], field: str, digits: int, scale: float = 1.0
) -> tuple[list[list[str]], list[str]]:
    """Return the rows (one per encoder and condition) and the headers (one per layer)."""
    rows, depth = [], 0
    for name, found in everything.items():
        for condition in conditions:
            result = found.get(condition)
            values = None if result is None else {
                "cka_debiased": result.cka_debiased, "speaker_accuracy": result.speaker_accuracy
            }[field]
            if values is not None:
                depth = max(depth, len(values))
                rows.append([f"{name}, {condition}", *(f"{scale * v:.{digits}f}" for v in values)])
    padded = [row + ["–"] * (depth + 1 - len(row)) for row in rows]
    return padded, ["encoder, condition", *map(str, range(depth))]


def _time_rows(results: ResultsFile, everything: dict, conditions: list[str]) -> list[list[str]]:
    rows = []
    for name, found in everything.items():
        shared = results.seconds(name)
        steps = [shared.get(step) for step in ("train features", "probe", "test features")]
        steps += [found[c].wall_seconds if c in found else None for c in conditions]
        rows.append([name, *("–" if s is None else f"{s:.0f}" for s in steps)])
    return rows
