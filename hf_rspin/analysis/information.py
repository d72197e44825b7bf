"""What discrete units know about phones: mutual information, purities, codebook usage."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

IGNORED = -1


@dataclass(frozen=True)
class UnitInformation:
    """Figures of one set of units against one set of phone labels, over aligned frames.

    Args:
        pnmi: I(phone; unit) / H(phone), 0 to 1; grows with the number of units.
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


def joint_counts(
    phones: Iterable[np.ndarray], units: Iterable[np.ndarray], num_phones: int, num_units: int
) -> np.ndarray:
    """Count frames per (phone, unit) over utterances, int64 (num_phones, num_units).

    Frames labelled -1 on either side (silence to be left out, padding) are not counted.

    Raises:
        ValueError: an utterance has different numbers of labels, or a label out of range.
    """
    counts = np.zeros(num_phones * num_units, dtype=np.int64)
    for index, (phone, unit) in enumerate(zip(phones, units, strict=True)):
        if len(phone) != len(unit):
            raise ValueError(
                f"utterance {index} has {len(phone)} phone labels and {len(unit)} units; expected "
                "one of each per encoder frame."
            )
        kept = (np.asarray(phone) != IGNORED) & (np.asarray(unit) != IGNORED)
        phone, unit = np.asarray(phone)[kept], np.asarray(unit)[kept]
        if kept.any() and not (_within(phone, num_phones) and _within(unit, num_units)):
            raise ValueError(
                f"utterance {index} has labels outside {num_phones} phones or {num_units} units."
            )
        counts += np.bincount(phone * num_units + unit, minlength=len(counts))
    return counts.reshape(num_phones, num_units)


def unit_information(counts: np.ndarray) -> UnitInformation:
    """Compute the figures from `joint_counts` (phones, units).

    Raises:
        ValueError: no frame was counted.
    """
    total = counts.sum()
    if total == 0:
        raise ValueError("no frame has both a phone and a unit; check the alignment.")
    joint = counts / total
    phone, unit = joint.sum(axis=1), joint.sum(axis=0)
    phone_entropy = _entropy(phone)
    shared = phone_entropy + _entropy(unit) - _entropy(joint)
    return UnitInformation(
        pnmi=float(shared / phone_entropy) if phone_entropy > 0 else 0.0,
        phone_purity=float(joint.max(axis=0).sum()),
        cluster_purity=float(joint.max(axis=1).sum()),
        perplexity=float(np.exp(_entropy(unit))),
        num_used=int((unit > 0).sum()),
        num_frames=int(total),
    )


def phone_given_unit(counts: np.ndarray) -> np.ndarray:
    """Return P(phone | unit), (phones, units), for a heat map; unused units are all zero."""
    return counts / np.maximum(counts.sum(axis=0, keepdims=True), 1)


def _within(labels: np.ndarray, size: int) -> bool:
    return 0 <= labels.min() and labels.max() < size


def _entropy(probabilities: np.ndarray) -> float:
    positive = probabilities[probabilities > 0]
    return float(-(positive * np.log(positive)).sum())
