"""What discrete units know about phones: mutual information, purities, codebook usage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

IGNORED = -1
Labels = Sequence[np.ndarray] | np.ndarray


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


def unit_quality(phones: Labels, units: Labels) -> UnitQuality:
    """Compare units with phones.

    Args:
        phones: phone of each frame, (frames,) per utterance, or one array (frames,) for all; -1:
            not counted (silence, padding).
        units: unit of each frame, likewise.

    Raises:
        ValueError: an utterance has different numbers of labels, or no frame is left to count.

    Example:
        >>> unit_quality([np.array([0, 0, 1, 1])], [np.array([5, 5, 7, 7])]).pnmi
        1.0
    """
    phone, unit = _counted(phones, units)
    counts = _contingency(phone, unit)
    return UnitQuality(
        pnmi=_normalized_information(phone, unit),
        phone_purity=float(counts.max(axis=0).sum() / counts.sum()),
        cluster_purity=float(counts.max(axis=1).sum() / counts.sum()),
        perplexity=perplexity(unit),
        num_used=counts.shape[1],
        num_frames=len(phone),
    )


def phone_normalized_mutual_information(phones: Labels, units: Labels) -> float:
    """Return I(phone; unit) / H(phone), 0 to 1 (HuBERT, section IV-D); see `unit_quality`.

    0 where there is one phone or one unit only.
    """
    return _normalized_information(*_counted(phones, units))


def phone_purity(phones: Labels, units: Labels) -> float:
    """Return the accuracy of naming each frame by its unit's most frequent phone, 0 to 1.

    1 where every frame has a unit of its own: compare at equal numbers of units.
    See `unit_quality`.
    """
    counts = _contingency(*_counted(phones, units))
    return float(counts.max(axis=0).sum() / counts.sum())


def cluster_purity(phones: Labels, units: Labels) -> float:
    """Return the share of each phone's frames in its most frequent unit, 0 to 1.

    1 where there is one unit only. See `unit_quality`.
    """
    counts = _contingency(*_counted(phones, units))
    return float(counts.max(axis=1).sum() / counts.sum())


def perplexity(units: np.ndarray) -> float:
    """Return exp of the entropy of the histogram of `units` (frames,)."""
    from scipy.stats import entropy

    return float(np.exp(entropy(np.unique(units, return_counts=True)[1])))


def phone_given_unit(phones: Labels, units: Labels) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return P(phone | unit), (phones, units), for a heat map, and the labels of both axes.

    Args:
        phones: see `unit_quality`.
        units: see `unit_quality`.
    """
    phone, unit = _counted(phones, units)
    counts = _contingency(phone, unit)
    return counts / counts.sum(axis=0, keepdims=True), np.unique(phone), np.unique(unit)


def _normalized_information(phone: np.ndarray, unit: np.ndarray) -> float:
    from sklearn.metrics import homogeneity_score

    # Of one phone nothing can be learned; scikit-learn says 1.
    return float(homogeneity_score(phone, unit)) if (phone != phone[0]).any() else 0.0


def _contingency(phone: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Count frames per phone and unit that occur, (phones, units)."""
    from sklearn.metrics.cluster import contingency_matrix

    return contingency_matrix(phone, unit)


def _counted(phones: Labels, units: Labels) -> tuple[np.ndarray, np.ndarray]:
    """Concatenate the labels of the frames that have both, (frames,) each."""
    phones, units = _utterances(phones), _utterances(units)
    if len(phones) != len(units):
        raise ValueError(
            f"got phone labels of {len(phones)} utterances and units of {len(units)}; expected "
            "the same utterances in the same order."
        )
    counted = []
    for index, (phone, unit) in enumerate(zip(phones, units, strict=True)):
        if len(phone) != len(unit):
            raise ValueError(
                f"got {len(phone)} phone labels and {len(unit)} units for utterance {index}; "
                "expected one of each per encoder frame."
            )
        kept = (phone != IGNORED) & (unit != IGNORED)
        if kept.any():
            counted.append((phone[kept], unit[kept]))
    if not counted:
        raise ValueError("no frame has both a phone and a unit; check the alignment.")
    phone, unit = map(np.concatenate, zip(*counted, strict=True))
    return phone, unit


def _utterances(labels: Labels) -> list[np.ndarray]:
    """Return one (frames,) per utterance, of a single (frames,) too."""
    single = len(labels) > 0 and np.ndim(labels[0]) == 0
    return [np.asarray(one) for one in ([labels] if single else labels)]
