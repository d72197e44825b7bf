"""Which differences a layer keeps, without training: those of phones, and those of speakers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from hf_rspin.evaluation.conditions import Distortion
from hf_rspin.evaluation.evaluation_set import EvaluationSet
from hf_rspin.evaluation.feature_store import FeatureStore
from hf_rspin.evaluation.measures.abx import abx_interval, cell_errors
from hf_rspin.evaluation.measures.abx_cells import AbxCell, abx_cells, tokens_of
from hf_rspin.evaluation.probes.base import CleanFeatures, Metric, Probe, Row
from hf_rspin.evaluation.probes.excerpts import Excerpt, cut, find_excerpts
from hf_rspin.evaluation.probes.frame_rate import frame_factor

WITHIN, ACROSS, SPEAKER = "abx_within_speaker", "abx_across_speakers", "abx_speaker"


class Plan(NamedTuple):
    """What is compared.

    Attributes:
        tokens: all of them.
        cells: of each error, with indices of tokens.
        used: indices of the tokens in cells.
    """

    tokens: list[Excerpt]
    cells: dict[str, list[AbxCell]]
    used: list[int]


@dataclass(eq=False)
class AbxProbe(Probe):
    """ABX errors of every layer: phones within and across speakers, and speakers within phones.

    The tokens are phones between the same two neighbours (context `within`) or anywhere (`any`).
    The speaker error compares tokens of one phone: A and X of one speaker, B of another; a layer
    that knows what is said and not who says it has a low phone error and a speaker error near
    50 % (de Seyssel et al. 2022). Encoders and conditions are compared on the same triples.

    Args:
        context: `within`: all three tokens have the same neighbours, as in ZeroSpeech; a few
            hundred utterances hold hardly any such three of one speaker, so `any` is the default.
        max_items: tokens drawn of each kind in a cell, see `abx_cells`.
        max_cells: cells drawn for each of the three errors.
        seed: of both draws.
    """

    name = "abx"
    metrics = (
        Metric(
            WITHIN, "ABX phone error within speakers", "ABX phone error within speakers, %",
            "How often a phone is nearer to another phone of its speaker than to the same phone of "
            "its speaker; chance is 50 %. Lower is better.",
            percent=True, digits=1, better="lower",
        ),
        Metric(
            ACROSS, "ABX phone error across speakers", "ABX phone error across speakers, %",
            "How often a phone is nearer to another phone than to the same phone, both of another "
            "speaker; chance is 50 %. Lower is better.",
            percent=True, digits=1, better="lower",
        ),
        Metric(
            SPEAKER, "ABX speaker error", "ABX speaker error, %",
            "How often a phone is nearer to the same phone of another speaker than to that of its "
            "own; 50 %: speakers cannot be told apart. Lower: the layer says who speaks; for what "
            "is said, higher is better if the phone error stays low.",
            percent=True, digits=1, layer_of=ACROSS,
        ),
    )  # fmt: skip

    context: Literal["within", "any"] = "any"
    max_items: int = 5
    max_cells: int = 8000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.context not in ("within", "any"):
            raise ValueError(f"got context {self.context!r}; expected within or any.")
        for name, least in (("max_items", 2), ("max_cells", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"got {name} {getattr(self, name)}; expected {least} or more.")
        self._planned: tuple[EvaluationSet, Plan] | None = None

    def reason_to_skip(self, test: EvaluationSet, train: EvaluationSet | None) -> str | None:
        """Name what is missing; otherwise draw the triples."""
        if test.alignments is None or test.speakers is None:
            return "The ABX test is left out: it needs phone alignments and speakers."
        if not any(self._plan(test).cells.values()):
            return (
                "The ABX test is left out: no three phones can be compared"
                + (
                    " in one context; --abx_context any takes all neighbours."
                    if self.context == "within" else "."
                )
            )
        return None

    def remark(self, test: EvaluationSet) -> str | None:
        """Name the errors that cannot be measured."""
        cells = self._plan(test).cells
        missing = [metric.title for metric in self.metrics if not cells[metric.name]]
        if not missing:
            return None
        why = "no three phones can be compared so: give more speech"
        if len(set(test.speakers) - {None}) < 2:
            why = "the recordings are of a single speaker"
        return f"Left out: {', '.join(missing)}; {why}."

    def fit(self, features: CleanFeatures, state: Path) -> None:
        """Choose the triples; nothing is learned."""
        self._test = features.test
        self._plan(features.test)

    def begin(self, condition: Distortion) -> None:
        """Forget the numbers."""
        self._rows: list[Row] = []

    def finish(self, store: FeatureStore) -> None:
        """Compare the tokens of each layer; one layer is in memory at a time."""
        plan, factor = self._plan(self._test), frame_factor(self._test, store)
        for layer in range(store.num_layers):
            frames = cut(store, layer, [plan.tokens[i] for i in plan.used], factor)
            tokens = dict(zip(plan.used, frames, strict=True))
            for name, cells in plan.cells.items():
                if cells:
                    errors = cell_errors(tokens, cells)
                    speakers = [_speakers(name, cell) for cell in cells]
                    found = abx_interval(cells, errors, speakers, seed=self.seed)
                    self._rows.append(Row.of_interval(name, found, layer))

    def rows(self) -> list[Row]:
        """Return the errors of each layer, with bootstrap intervals over speakers."""
        return self._rows

    def details(self) -> dict[str, Any]:
        """Return how much was compared."""
        cells = self._plan(self._test).cells
        return {"cells": {name: len(found) for name, found in cells.items()}}

    def _plan(self, test: EvaluationSet) -> Plan:
        """Return what is compared; it takes seconds, so it is kept."""
        if self._planned is None or self._planned[0] is not test:
            self._planned = (test, self._draw(test))
        return self._planned[1]

    def _draw(self, test: EvaluationSet) -> Plan:
        tokens = find_excerpts(test, "alignment", test.alignments)
        phones, speakers = [t.label for t in tokens], [t.speaker for t in tokens]
        contexts = [t.context for t in tokens] if self.context == "within" else None
        limits = (self.max_items, self.max_cells, self.seed)
        cells = {
            WITHIN: abx_cells(phones, speakers, contexts, False, *limits),
            ACROSS: abx_cells(phones, speakers, contexts, True, *limits),
            SPEAKER: abx_cells(speakers, phones, contexts, False, *limits),
        }
        return Plan(tokens, cells, tokens_of([c for found in cells.values() for c in found]))


def _speakers(name: str, cell: AbxCell) -> tuple[str, ...]:
    """Return the speakers that a cell compares."""
    return {WITHIN: (cell.by,), ACROSS: cell.by, SPEAKER: cell.pair}[name]
