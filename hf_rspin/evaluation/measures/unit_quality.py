"""What discrete units know about phones: mutual information, purities, codebook usage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

IGNORED = -1


@dataclass(frozen=True)
class UnitQuality:
    """How units and phone labels go together, over aligned frames.

    Args:
        pnmi: I(phone; unit) / H(phone), 0 to 1 (HuBERT, section IV-D); grows with the number of
            units. 0 where there is one phone only.
        phone_purity: accuracy of naming each frame by its unit's most frequent phone.
        cluster_purity: share of each phone's frames in its most frequent unit.
        perplexity: exp of the entropy of the unit histogram.
        num_used: units that occur.
        num_frames: frames counted.
    """

    pnmi: float
    phone_purity: float
    cluster_purity: float
    perplexity: float
    num_used: int
    num_frames: int


def unit_quality(phones: Sequence[np.ndarray], units: Sequence[np.ndarray]) -> UnitQuality:
    """Compare units with phones.

    Args:
        phones: phone of each frame, (frames,) per utterance; -1: not counted (silence, padding).
        units: unit of each frame, likewise.

    Raises:
        ValueError: an utterance has different numbers of labels, or no frame is left to count.

    Example:
        >>> unit_quality([np.array([0, 0, 1, 1])], [np.array([5, 5, 7, 7])]).pnmi
        1.0
    """
    from sklearn.metrics import homogeneity_score

    phone, unit = _counted(phones, units)
    counts = _contingency(phone, unit)
    return UnitQuality(
        pnmi=float(homogeneity_score(phone, unit)) if len(counts) > 1 else 0.0,
        phone_purity=float(counts.max(axis=0).sum() / counts.sum()),
        cluster_purity=float(counts.max(axis=1).sum() / counts.sum()),
        perplexity=perplexity(unit),
        num_used=counts.shape[1],
        num_frames=len(phone),
    )


def perplexity(units: np.ndarray) -> float:
    """Return exp of the entropy of the histogram of `units` (frames,)."""
    from scipy.stats import entropy

    return float(np.exp(entropy(np.unique(units, return_counts=True)[1])))


def phone_given_unit(
    phones: Sequence[np.ndarray], units: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return P(phone | unit), (phones, units), for a heat map, and the labels of both axes.

    Args:
        phones: see `unit_quality`.
        units: see `unit_quality`.
    """
    phone, unit = _counted(phones, units)
    counts = _contingency(phone, unit)
    return counts / counts.sum(axis=0, keepdims=True), np.unique(phone), np.unique(unit)


def _contingency(phone: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Count frames per phone and unit that occur, (phones, units)."""
    from sklearn.metrics.cluster import contingency_matrix

    return contingency_matrix(phone, unit)


def _counted(
    phones: Sequence[np.ndarray], units: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Concatenate the labels of the frames that have both, (frames,) each."""
    for index, (phone, unit) in enumerate(zip(phones, units, strict=True)):
        if len(phone) != len(unit):
            raise ValueError(
                f"got {len(phone)} phone labels and {len(unit)} units for utterance {index}; "
                "expected one of each per encoder frame."
            )
    phone, unit = np.concatenate(phones), np.concatenate(units)
    kept = (phone != IGNORED) & (unit != IGNORED)
    if not kept.any():
        raise ValueError("no frame has both a phone and a unit; check the alignment.")
    return phone[kept], unit[kept]
