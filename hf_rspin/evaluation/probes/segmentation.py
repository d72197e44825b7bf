"""How well the boundaries of units of each layer are those of phones, beside equal segments."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from hf_rspin.data.phone_times import Segment, known_phone, parse_alignment
from hf_rspin.evaluation.boundaries import boundary_times, phone_starts
from hf_rspin.evaluation.cells import Cell
from hf_rspin.evaluation.conditions import CLEAN, Distortion
from hf_rspin.evaluation.evaluation_set import EvaluationSet
from hf_rspin.evaluation.measures.bootstrap import NUM_RESAMPLES, Interval, sample_key
from hf_rspin.evaluation.measures.segmentation import (
    MATCHERS,
    SegmentationScores,
    equal_length_boundaries,
    segmentation_scores,
    unit_boundaries,
)
from hf_rspin.evaluation.probes.base import CleanFeatures, Drawing, Metric, Probe, Row
from hf_rspin.evaluation.probes.frame_rate import frame_factor
from hf_rspin.evaluation.probes.units import fit_units, one_per_encoder

EXAMPLE_SECONDS, EXAMPLE_POINTS = 2.5, 4000
_HOW = (
    "Boundaries where adjacent k-means units differ against starts of phones and of silence, at "
    "most 20 ms apart and matched once each unless the settings say otherwise."
)


@dataclass(eq=False)
class SegmentationProbe(Probe):
    """Where units change and where phones do (R-Spin, Table 4 and Figure 8).

    A boundary between two frames lies halfway between their centres. The baseline cuts every
    utterance into equal segments, as many as it has. Utterances without alignment are left out.

    Args:
        num_units: k-means clusters per layer, learned of clean speech as `UnitProbe` does.
        max_utterances: clusters are learned on this many, spread over the speakers; None: all.
        tolerance: largest distance of a hit, in seconds.
        matcher: one_to_one or lenient, see `segmentation_scores`: it decides the figure.
        seed: of clusters and choice.
    """

    name = "segmentation"
    seeded = True
    learns_unlabelled = True
    metrics = (
        Metric("boundary_f1", "Phone boundaries found by units: F1", "boundary F1, %",
               f"Harmonic mean of precision and recall. {_HOW} Higher is better.",
               percent=True, digits=1, layer_of="boundary_r_value"),
        Metric("boundary_r_value", "Phone boundaries found by units: R-value",
               "boundary R-value, %",
               f"100 is perfect; unlike F1 it does not reward too many boundaries. {_HOW}",
               percent=True, digits=1, better="higher"),
        Metric("boundary_precision", "Boundaries of units that are right", "boundary precision, %",
               _HOW, percent=True, digits=1, plotted=False, in_summary=False,
               layer_of="boundary_r_value"),
        Metric("boundary_recall", "Phone boundaries that units find", "boundary recall, %",
               _HOW, percent=True, digits=1, plotted=False, in_summary=False,
               layer_of="boundary_r_value"),
        Metric("boundary_over_segmentation", "Over-segmentation by units", "over-segmentation, %",
               "Recall / precision - 1; positive: too many boundaries.",
               percent=True, digits=1, plotted=False, in_summary=False,
               layer_of="boundary_r_value"),
        Metric("boundary_f1_equal_length", "Phone boundaries found by equal segments: F1",
               "boundary F1 of equal segments, %",
               "What F1 is where every utterance is cut into equal segments, given their number.",
               percent=True, digits=1, plotted=False, in_summary=False),
        Metric("boundary_r_value_equal_length", "Phone boundaries found by equal segments: R-value",
               "boundary R-value of equal segments, %",
               "What the R-value is where every utterance is cut into equal segments.",
               percent=True, digits=1, plotted=False, in_summary=False),
    )  # fmt: skip

    num_units: int = 64
    max_utterances: int | None = 200
    tolerance: float = 0.02
    matcher: str = "one_to_one"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.num_units < 2:
            raise ValueError(f"got num_units {self.num_units}; expected 2 or more.")
        if self.matcher not in MATCHERS:
            raise ValueError(f"got matcher {self.matcher!r}; expected one of {list(MATCHERS)}.")
        if not self.tolerance >= 0:
            raise ValueError(f"got tolerance {self.tolerance}; expected seconds, 0 or more.")

    def reason_to_skip(self, test: EvaluationSet, train: EvaluationSet | None) -> str | None:
        """Name the missing alignments."""
        test.check_alignments()
        if test.alignments is None or not any(map(phone_starts, test.alignments)):
            return "Segmentation is left out: the recordings have no aligned phones."
        return None

    def fit(self, features: CleanFeatures, state: Path) -> None:
        """Cluster the frames of each layer, and collect the boundaries of phones."""
        store, rows = features.to_learn_from(self.max_utterances, self.seed)
        self._kmeans = [
            fit_units([store.layer(i, layer).numpy() for i in rows], self.num_units, self.seed)
            for layer in range(store.num_layers)
        ]
        self._test, clean = features.test, features.test_store
        self._factor = frame_factor(self._test, clean)
        self._lengths = clean.lengths
        self._ends = [boundary_times([frames], self._factor)[0] for frames in clean.lengths]
        texts = {index: text for index, text in enumerate(self._test.alignments) if text}
        self._phones = {
            i: [t for t in phone_starts(text) if t < self._ends[i]] for i, text in texts.items()
        }

    def begin(self, condition: Distortion) -> None:
        """Forget the boundaries."""
        self._is_clean = condition.name == CLEAN
        self._found: dict[int, list[np.ndarray]] = {}

    def update(self, index: int, features: Tensor) -> None:
        """Keep the boundaries of the units of each layer in one utterance, in seconds."""
        if index in self._phones:
            pairs = zip(self._kmeans, features, strict=True)
            units = [kmeans.predict(layer.numpy()) for kmeans, layer in pairs]
            self._found[index] = [boundary_times(unit_boundaries(u), self._factor) for u in units]

    def rows(self) -> list[Row]:
        """Return the scores of each layer; of clean speech also those of equal segments."""
        rows: list[Row] = []
        self._r_values: list[float] = []
        for layer in range(len(self._kmeans)):
            scores = self._scored([self._found[i][layer] for i in self._phones])
            self._r_values.append(scores["r_value"].value)
            for name, found in scores.items():
                rows.append(Row.of_interval(f"boundary_{name}", found, layer))
        return rows + (self._baseline() if self._is_clean else [])

    def _baseline(self) -> list[Row]:
        cuts = [
            equal_length_boundaries(self._lengths[i], min(len(starts), self._lengths[i] - 1))
            for i, starts in self._phones.items()
        ]
        scores = self._scored([boundary_times(cut, self._factor) for cut in cuts])
        found = {f"boundary_{name}_equal_length": scores[name] for name in ("f1", "r_value")}
        return [Row(name, one.value, None, one.low, one.high) for name, one in found.items()]

    def _speakers(self) -> list[str] | None:
        """Return the speaker of each utterance with phones."""
        groups = self._test.groups()
        return groups and [groups[i] for i in self._phones]

    def _scored(self, found: Sequence[np.ndarray]) -> dict[str, Interval]:
        true = list(self._phones.values())
        scores = segmentation_scores(true, found, self.tolerance, self.matcher)
        counts = []
        for starts, cuts in zip(true, found, strict=True):
            one = segmentation_scores([starts], [cuts], self.tolerance, self.matcher)
            numbers = len(cuts), len(starts)
            counts.append((one.precision * numbers[0], one.recall * numbers[1], *numbers))
        return _intervals(scores, np.array(counts), self._speakers())

    def details(self) -> dict[str, Any]:
        """Return of clean speech an example: waveform, phones, boundaries of the best layer."""
        if not self._is_clean:
            return {}
        best = int(np.argmax(np.nan_to_num(self._r_values, nan=-np.inf)))
        index = min(self._phones, key=lambda i: abs(self._ends[i] - EXAMPLE_SECONDS))
        waveform, text = self._test.read(index), self._test.alignments[index]
        end = self._ends[index]
        phones = [
            [start, min(stop, max(start, end)), known_phone(phone)]
            for start, stop, phone in parse_alignment(text, math.inf)
        ]
        return {
            "utterance": self._test.ids[index], "layer": best, "samples": len(waveform),
            "waveform": _outline(waveform), "phones": phones,
            "boundaries": [round(float(t), 4) for t in self._found[index][best]],
        }  # fmt: skip

    @classmethod
    def draw(cls, cells: Sequence[Cell]) -> list[Drawing]:
        """Draw the example of clean speech, a panel of boundaries per encoder (Figure 8)."""
        from hf_rspin.evaluation.plots import plot_alignment

        cells = one_per_encoder(cells, "waveform")
        if not cells:
            return []
        example = cells[0].details
        phones = [Segment(*phone) for phone in example["phones"]]
        waveform = np.interp(
            np.arange(example["samples"]),
            np.linspace(0, example["samples"] - 1, len(example["waveform"])), example["waveform"],
        )  # fmt: skip
        panels = {
            f"{cell.encoder}, {cell.details['layer']}": cell.details["boundaries"]
            for cell in cells
            if cell.details["utterance"] == example["utterance"]
        }
        figure = plot_alignment(waveform, phones, panels)
        caption = (
            f"Utterance {example['utterance']}: above its phones, below where the k-means units "
            "change in the layer (the number after the encoder) whose boundaries are best."
        )
        return [Drawing("Boundaries of phones and of units: an example", figure, caption)]


def _intervals(
    scores: SegmentationScores, counts: np.ndarray, groups: Sequence[str] | None
) -> dict[str, Interval]:
    """Return each score with a 95 % bootstrap interval over speakers, or utterances.

    Args:
        scores: of all utterances together.
        counts: (utterances, 4): right, found, predicted and true boundaries.
        groups: the speaker of each.
    """
    names = np.arange(len(counts))
    if groups is not None:
        names, members = np.unique(groups, return_inverse=True)
        counts = np.stack([np.bincount(members, column) for column in counts.T], axis=1)
    if len(counts) < 2:
        return {name: Interval(one, math.nan, math.nan) for name, one in vars(scores).items()}
    generator = np.random.default_rng(0)
    resamples = generator.integers(0, len(counts), (NUM_RESAMPLES, len(counts)))
    right, found, predicted, true = np.stack([column[resamples].sum(1) for column in counts.T])
    precision, recall = right / np.maximum(predicted, 1), found / np.maximum(true, 1)
    ratio = np.divide(predicted, true, out=np.full(len(true), np.nan), where=true > 0)
    over = np.divide(recall, precision, out=ratio, where=precision > 0) - 1
    rates = zip(precision, recall, over, strict=True)
    draws = [list(vars(SegmentationScores.from_rates(*one)).values()) for one in rates]
    limits = np.nanpercentile(draws, (2.5, 97.5), axis=0).T.tolist()
    of = sample_key(names)
    columns = zip(vars(scores).items(), limits, np.array(draws).T, strict=True)
    return {
        name: Interval(value, low, high, drawn, len(counts), of)
        for (name, value), (low, high), drawn in columns
    }


def _outline(waveform: np.ndarray) -> list[float]:
    """Return at most `EXAMPLE_POINTS` samples: the lowest and the highest of each part."""
    parts = np.array_split(waveform, min(len(waveform), EXAMPLE_POINTS // 2))
    return [round(float(x), 3) for part in parts for x in (part.min(), part.max())]
