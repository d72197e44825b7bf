"""Spoken semantic textual similarity (STS): cosines of utterance vectors against human scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike


def spoken_sts(
    first: Sequence[ArrayLike], second: Sequence[ArrayLike], human_scores: Sequence[float]
) -> float:
    """Return Spearman's correlation of `pair_similarities` with human scores, -1 to 1.

    Merkx et al., "Semantic sentence similarity: size does not always matter" (2021); four
    speakers say each sentence of the public set.

    Args:
        first: vectors of the first sentence of each pair, (speakers, dim): the mean over frames
            of what each speaker said.
        second: likewise of the second sentence; speakers may differ in number.
        human_scores: how similar people find the two, (pairs,).

    Raises:
        ValueError: see `pair_similarities`; not one score per pair, or nothing to rank: fewer
            than two pairs, or scores that are all alike.

    Example:
        >>> first = [np.array([[1.0, 0.0]])] * 3  # means over frames: (speakers, dim)
        >>> second = [np.array([[1.0, one]]) for one in (0.1, 9.0, 1.0)]
        >>> round(spoken_sts(first, second, [4.5, 0.2, 3.0]), 6)
        1.0
    """
    from scipy.stats import spearmanr

    found, human = pair_similarities(first, second), np.asarray(human_scores, dtype=np.float64)
    if human.shape != found.shape or not np.isfinite(human).all():
        raise ValueError(
            f"got {len(found)} pairs of sentences with human scores {human.shape}; expected a "
            "finite number for each pair."
        )
    for name, scores in (("human scores", human), ("cosines", found)):
        if len(np.unique(scores)) < 2:
            raise ValueError(
                f"the {name} of {len(scores)} pairs hold no two that differ; a rank correlation "
                "needs two or more."
            )
    return float(spearmanr(found, human).statistic)


def pair_similarities(first: Sequence[ArrayLike], second: Sequence[ArrayLike]) -> np.ndarray:
    """Return the mean cosine over all pairs of a first and a second speaker, (pairs,).

    Args:
        first: see `spoken_sts`.
        second: see `spoken_sts`.

    Raises:
        ValueError: the two differ in number, or a vector is zero, not finite or of another size.
    """
    if len(first) != len(second):
        raise ValueError(
            f"got {len(first)} first and {len(second)} second sentences; expected pairs."
        )
    found = []
    for index, pair in enumerate(zip(first, second, strict=True)):
        left, right = (_mean_direction(vectors, index) for vectors in pair)
        if left.shape != right.shape:
            raise ValueError(
                f"the sentences of pair {index} have {len(left)} and {len(right)} dimensions; "
                "take both from one layer."
            )
        found.append(left @ right)  # a mean of products over all pairs is a product of means
    return np.array(found)


def _mean_direction(vectors: ArrayLike, index: int) -> np.ndarray:
    """Return the mean of the unit vectors of all speakers, (dim,)."""
    vectors = np.asarray(vectors, dtype=np.float64)
    if vectors.ndim != 2 or 0 in vectors.shape:
        raise ValueError(
            f"got vectors {vectors.shape} for a sentence of pair {index}; expected (speakers, dim)."
        )
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not (np.isfinite(norms) & (norms > 0)).all():
        raise ValueError(
            f"a sentence of pair {index} has a vector that is zero or not finite; is it silent?"
        )
    return (vectors / norms).mean(0)
