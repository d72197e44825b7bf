"""The results of a comparison as markdown tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hf_rspin.analysis.results import ConditionResult, ResultsFile
from hf_rspin.evaluation.bootstrap import bootstrap_interval, paired_difference

LayerValues = Callable[[ConditionResult], list[float] | None]
_STEPS = ("train features", "probe", "test features")


def markdown_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out a table; the first column is text, the others are right-aligned."""
    rule = [":--"] + ["--:"] * (len(headers) - 1)
    lines = [headers, rule, *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


@dataclass(frozen=True)
class Section:
    """A table with its title, for markdown or a report."""

    title: str
    headers: list[str]
    rows: list[list[str]]


def comparison_tables(results: ResultsFile, reference: str | None = None) -> str:
    """Return `comparison_sections` as markdown."""
    return "\n\n".join(
        f"### {section.title}\n\n{markdown_table(section.headers, section.rows)}"
        for section in comparison_sections(results, reference)
    )


def comparison_sections(results: ResultsFile, reference: str | None = None) -> list[Section]:
    """Return the tables: phone error rate, differences, CKA and speakers per layer, time.

    Args:
        results: finished or not; missing cells are "–", empty tables are left out.
        reference: the encoder that differences refer to; default the first.

    Raises:
        ValueError: the reference is not among the encoders.
    """
    names = results.encoders()
    reference = reference or names[0]
    if reference not in names:
        raise ValueError(f"reference {reference!r} is not among the encoders {names}.")
    everything = {name: results.conditions(name) for name in names}
    conditions = list(dict.fromkeys(c for found in everything.values() for c in found))
    sections = [
        Section("Phone error rate, % [95 % bootstrap interval over utterances]",
                ["encoder", *conditions], _per_rows(everything, conditions)),
        Section(f"Difference to {reference}, points [95 % paired interval], * p < 0.05",
                ["encoder", *conditions], _difference_rows(everything, conditions, reference)),
        _layer_section("CKA with clean speech per layer (debiased linear)",
                       everything, lambda result: result.cka_debiased, 3),
        _layer_section("Speaker identification accuracy per layer, % (probe trained on clean)",
                       everything, lambda result: result.speaker_accuracy, 1, 100),
        Section("Elapsed time, s (clean: features were encoded before)",
                ["encoder", *_STEPS, *conditions], _time_rows(results, everything, conditions)),
    ]
    return [section for section in sections if section.rows]


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


def _layer_section(
    title: str, everything: dict, pick: LayerValues, digits: int, scale: float = 1.0
) -> Section:
    """One row per encoder and condition, one column per layer."""
    rows = [
        [f"{name}, {condition}", *(f"{scale * value:.{digits}f}" for value in values)]
        for name, found in everything.items()
        for condition, result in found.items()
        if (values := pick(result)) is not None
    ]
    width = max((len(row) for row in rows), default=1)
    padded = [row + ["–"] * (width - len(row)) for row in rows]
    return Section(title, ["encoder, condition", *map(str, range(width - 1))], padded)


def _time_rows(results: ResultsFile, everything: dict, conditions: list[str]) -> list[list[str]]:
    rows = []
    for name, found in everything.items():
        shared = results.seconds(name)
        steps = [shared.get(step) for step in _STEPS]
        steps += [found[c].wall_seconds if c in found else None for c in conditions]
        rows.append([name, *("–" if s is None else f"{s:.0f}" for s in steps)])
    return rows
