"""Boundaries of units against boundaries of phones: precision, recall, F1, R-value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

# Times in seconds: 0.36 - 0.34 is a little more than 0.02 in floating point.
SLACK = 1e-9


@dataclass(frozen=True)
class SegmentationScores:
    """How well predicted boundaries meet reference boundaries; shares, not per cent.

    Args:
        precision: share of the predicted boundaries that are right; 0 where none is predicted.
        recall: share of the reference boundaries that are found; 0 where there is none.
        f1: harmonic mean of the two; 0 where both are 0.
        over_segmentation: recall / precision - 1; positive: too many boundaries are predicted.
        r_value: 1 is perfect; unlike F1 it does not reward too many boundaries (Räsänen et al.,
            2009). This and `over_segmentation` are nan where there is no reference boundary.
    """

    precision: float
    recall: float
    f1: float
    over_segmentation: float
    r_value: float

    @classmethod
    def from_rates(
        cls, precision: float, recall: float, over_segmentation: float | None = None
    ) -> SegmentationScores:
        """Derive the others from precision and recall, 0 to 1 each.

        Args:
            precision: see the class.
            recall: see the class.
            over_segmentation: default recall / precision - 1, nan where precision is 0.

        Example:
            >>> round(SegmentationScores.from_rates(0.6476, 0.8787).r_value, 4)
            0.6425
        """
        over = over_segmentation
        if over is None:
            over = recall / precision - 1 if precision > 0 else math.nan
        total = precision + recall
        f1 = 2 * precision * recall / total if total > 0 else 0.0
        to_perfect = math.hypot(1 - recall, over)
        to_line = (recall - 1 - over) / math.sqrt(2)
        return cls(precision, recall, f1, over, 1 - (abs(to_perfect) + abs(to_line)) / 2)


def segmentation_scores(
    reference: Sequence[ArrayLike],
    predicted: Sequence[ArrayLike],
    tolerance: float,
    matcher: str = "one_to_one",
) -> SegmentationScores:
    """Score predicted boundaries against reference boundaries, over all utterances together.

    The matcher decides the figure (an R-value of 0.74 against 0.48 on one data set): name it
    beside every number. Without a hit, over-segmentation is predicted / reference - 1, of counts.

    Args:
        reference: boundaries of each utterance, (boundaries,), in frames or in seconds; an
            utterance may have none.
        predicted: likewise, in the same unit.
        tolerance: largest distance of a hit, included, in the unit of the boundaries; usual are
            20 ms, one frame at 50 Hz.
        matcher: "one_to_one": each boundary is matched at most once, as many as possible;
            "lenient": each boundary counts if any of the other side lies within the tolerance.

    Raises:
        ValueError: not one list of finite numbers per utterance on both sides, a negative
            tolerance, or an unknown matcher.

    Example:
        >>> segmentation_scores([[10, 20]], [[11, 15, 20]], tolerance=1).recall
        1.0
    """
    if matcher not in MATCHERS:
        raise ValueError(f"got matcher {matcher!r}; expected one of {list(MATCHERS)}.")
    if not tolerance >= 0:
        raise ValueError(f"got a tolerance of {tolerance}; expected zero or more.")
    pairs = _checked(reference, predicted)
    num_reference = sum(len(true) for true, _ in pairs)
    num_predicted = sum(len(found) for _, found in pairs)
    hits = [MATCHERS[matcher](true, found, tolerance + SLACK) for true, found in pairs]
    precision = sum(right for right, _ in hits) / max(num_predicted, 1)
    recall = sum(found for _, found in hits) / max(num_reference, 1)
    over = None
    if precision == 0:
        over = num_predicted / num_reference - 1 if num_reference else math.nan
    return SegmentationScores.from_rates(precision, recall, over)


def unit_boundaries(units: ArrayLike) -> np.ndarray:
    """Return the frames at which another unit begins, (boundaries,), of `units` (frames,).

    Example:
        >>> unit_boundaries([4, 4, 7, 7, 7, 4]).tolist()
        [2, 5]
    """
    units = np.asarray(units)
    if units.ndim != 1:
        raise ValueError(f"got units {units.shape}; expected (frames,) of one utterance.")
    return np.flatnonzero(units[1:] != units[:-1]) + 1


def equal_length_boundaries(num_frames: int, count: int) -> np.ndarray:
    """Return `count` boundaries that cut an utterance into equal segments, to whole frames.

    The baseline of Table 4 of R-Spin, which is given the true number of boundaries.

    Args:
        num_frames: length of the utterance in frames.
        count: number of boundaries; segments are one more.

    Raises:
        ValueError: there are not that many places between frames.

    Example:
        >>> equal_length_boundaries(100, 3).tolist()
        [25, 50, 75]
    """
    if not 0 <= count < max(num_frames, 1):
        raise ValueError(
            f"got {count} boundaries for {num_frames} frames; expected 0 to one less than frames."
        )
    return np.rint(np.arange(1, count + 1) * num_frames / (count + 1)).astype(np.int64)


def _one_to_one(true: np.ndarray, found: np.ndarray, tolerance: float) -> tuple[int, int]:
    """Count matched boundaries, the same on both sides.

    On a line, with one tolerance for all, pairing the first two that fit is a maximal matching.
    """
    i = j = hits = 0
    while i < len(true) and j < len(found):
        if abs(true[i] - found[j]) <= tolerance:
            hits, i, j = hits + 1, i + 1, j + 1
        elif true[i] < found[j]:
            i += 1
        else:
            j += 1
    return hits, hits


def _lenient(true: np.ndarray, found: np.ndarray, tolerance: float) -> tuple[int, int]:
    """Count predicted and reference boundaries that have one of the other side nearby."""
    return _near(found, true, tolerance), _near(true, found, tolerance)


def _near(boundaries: np.ndarray, others: np.ndarray, tolerance: float) -> int:
    first = np.searchsorted(others, boundaries - tolerance, side="left")
    last = np.searchsorted(others, boundaries + tolerance, side="right")
    return int((last > first).sum())


MATCHERS = {"one_to_one": _one_to_one, "lenient": _lenient}


def _checked(
    reference: Sequence[ArrayLike], predicted: Sequence[ArrayLike]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return sorted boundaries per utterance."""
    if len(reference) != len(predicted):
        raise ValueError(
            f"got boundaries of {len(reference)} reference and {len(predicted)} predicted "
            "utterances; expected the same utterances in the same order."
        )
    return [
        (_sorted("reference", i, true), _sorted("predicted", i, found))
        for i, (true, found) in enumerate(zip(reference, predicted, strict=True))
    ]


def _sorted(side: str, index: int, boundaries: ArrayLike) -> np.ndarray:
    values = np.asarray(boundaries, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(
            f"got {side} boundaries of shape {values.shape} for utterance {index}; expected a "
            "list of boundaries per utterance: put those of a single utterance into a list."
        )
    if not np.isfinite(values).all():
        raise ValueError(f"the {side} boundaries of utterance {index} are not all finite numbers.")
    return np.sort(values)
