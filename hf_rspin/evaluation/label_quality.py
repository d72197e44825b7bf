"""What frame labels (units, acoustic pieces) say of phones and of their boundaries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hf_rspin.data.phone_times import SILENCE
from hf_rspin.evaluation.boundaries import boundary_times, phone_starts
from hf_rspin.evaluation.evaluation_set import EvaluationSet
from hf_rspin.evaluation.measures.segmentation import (
    SegmentationScores,
    equal_length_boundaries,
    segmentation_scores,
    unit_boundaries,
)
from hf_rspin.evaluation.measures.unit_quality import unit_quality
from hf_rspin.evaluation.table import Section
from hf_rspin.units import FrameLabels

EQUAL_LENGTH = "equal lengths, true number"


@dataclass(frozen=True)
class LabelQuality:
    """Figures of one set of labels.

    Args:
        segmentation: of its boundaries against those of phones (R-Spin, Table 4).
        pnmi: phone-normalised mutual information, silence left out.
        counts: occurrences of every label, (num_labels,), in segments (Figure 9).
        num_utterances: aligned utterances that have labels.
    """

    segmentation: SegmentationScores
    pnmi: float
    counts: np.ndarray
    num_utterances: int

    @property
    def num_used(self) -> int:
        """Labels that occur."""
        return int((self.counts > 0).sum())


def label_quality(
    labels: FrameLabels,
    utterances: EvaluationSet,
    tolerance: float = 0.02,
    matcher: str = "one_to_one",
) -> LabelQuality:
    """Compare frame labels with the phone times of the same utterances.

    Args:
        labels: of `hf-rspin labels`.
        utterances: with alignments; those without, and those that have no labels, are left out.
        tolerance: between two boundaries that are the same one, in seconds.
        matcher: see `segmentation_scores`.

    Raises:
        ValueError: no aligned utterance has labels, or the labels have other lengths.
    """
    aligned = _aligned(labels, utterances)
    found = [(ours, phones) for ours, phones, _ in aligned]
    reference = [starts for *_, starts in aligned]
    predicted = [boundary_times(unit_boundaries(ours), 1) for ours, _ in found]
    names = sorted({phone for _, phones in found for phone in phones} - {SILENCE})
    index = {SILENCE: -1} | {name: i for i, name in enumerate(names)}
    numbered = [np.array([index[phone] for phone in phones]) for _, phones in found]
    starts = [ours[np.concatenate([[0], unit_boundaries(ours)])] for ours, _ in found]
    return LabelQuality(
        segmentation_scores(reference, predicted, tolerance, matcher),
        unit_quality(numbered, [ours for ours, _ in found]).pnmi,
        np.bincount(np.concatenate(starts), minlength=labels.num_labels),
        len(found),
    )


def equal_length_quality(
    labels: FrameLabels,
    utterances: EvaluationSet,
    tolerance: float = 0.02,
    matcher: str = "one_to_one",
) -> SegmentationScores:
    """Score segments of equal length, as many as there are phones: the baseline of Table 4."""
    aligned = _aligned(labels, utterances)
    reference = [starts for *_, starts in aligned]
    predicted = [
        boundary_times(equal_length_boundaries(len(row), min(len(starts), len(row) - 1)), 1)
        for _, row, starts in aligned
    ]
    return segmentation_scores(reference, predicted, tolerance, matcher)


def label_section(
    named: dict[str, LabelQuality], baseline: SegmentationScores, tolerance: float, matcher: str
) -> Section:
    """Return the table of several sets of labels, with segments of equal length."""
    headers = ["labels", "precision", "recall", "F1", "over-segmentation", "R-value", "PNMI",
               "in use", "utterances"]  # fmt: skip
    rows = [
        [name, *_percent(one.segmentation), f"{one.pnmi:.3f}",
         f"{one.num_used} of {len(one.counts)}", str(one.num_utterances)]
        for name, one in named.items()
    ]  # fmt: skip
    rows.append([EQUAL_LENGTH, *_percent(baseline), "", "", ""])
    title = f"Boundaries of labels against phones, %, {1000 * tolerance:g} ms, {matcher}"
    return Section(title, headers, rows)


def _aligned(
    labels: FrameLabels, utterances: EvaluationSet
) -> list[tuple[np.ndarray, np.ndarray, list[float]]]:
    """Return labels and phones (frames,) of every aligned utterance that has labels.

    The third are the starts of its phones in seconds, see `phone_starts`.
    """
    if utterances.alignments is None:
        raise ValueError(
            "the recordings have no phone times; labels cannot be compared with phones: see "
            "`hf-rspin align`."
        )
    chosen = [
        i for i, (name, text) in enumerate(zip(utterances.ids, utterances.alignments, strict=True))
        if text and name in labels
    ]  # fmt: skip
    if not chosen:
        raise ValueError(
            f"none of the {len(utterances)} utterances has both phone times and labels (labels "
            f"exist for {_some(labels.ids)}): take the split and the --segment_seconds that "
            "the labels were made with."
        )
    part = utterances.select(chosen)
    found = []
    texts = part.alignments or []
    for name, phones, text in zip(part.ids, part.phones_of_frames(), texts, strict=True):
        ours = labels[name]
        if len(ours) != len(phones):
            raise ValueError(
                f"{name} has {len(ours)} labels and {len(phones)} frames; make the labels again "
                "from these recordings."
            )
        end = float(boundary_times([len(phones)], 1)[0])
        starts = [start for start in phone_starts(text) if start < end]
        found.append((ours, np.array(phones), starts))
    return found


def _percent(scores: SegmentationScores) -> list[str]:
    names = ("precision", "recall", "f1", "over_segmentation", "r_value")
    return [f"{100 * getattr(scores, name):.1f}" for name in names]


def _some(names: Sequence[str]) -> str:
    return f"{names[0]!r} and {len(names) - 1} more" if len(names) else "none"
