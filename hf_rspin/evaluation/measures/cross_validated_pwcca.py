"""PWCCA over ten splits of the samples, with epsilons chosen on held-out samples."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add

import numpy as np
from numpy.typing import ArrayLike

from hf_rspin.evaluation.measures.bootstrap import Interval, sample_key
from hf_rspin.evaluation.measures.pwcca import PWCCA, Covariances, Moments, paired_samples

NUM_FOLDS = 10
NUM_RESAMPLES = 500  # of groups
EPSILONS = (1e-11, 1e-10, 1e-9)
LARGER_EPSILONS = (1e-8, 1e-7, 1e-6, 1e-5)  # tried where a covariance stays indefinite
# Test folds (the next one is the dev fold) and number of epsilon pairs.
PROTOCOLS = {"published": ((0, 2, 4), 6), "full": (tuple(range(NUM_FOLDS)), 9)}


@dataclass(frozen=True)
class PwccaSplit:
    """What one split found.

    Args:
        score: PWCCA of the test samples.
        dev_score: of the dev samples, the best of all epsilons.
        epsilon_x: chosen by the dev samples.
        epsilon_y: likewise.
    """

    score: float
    dev_score: float
    epsilon_x: float
    epsilon_y: float


@dataclass(frozen=True)
class CrossValidatedPWCCA:
    """The mean test score over `splits`.

    Args:
        score: the mean.
        splits: each of them.
        low: of a 95 % interval over groups; nan where no groups, or one, were given.
        high: of it.
        draws: scores on the groups drawn again, see `Interval`.
        units: groups that were drawn from.
        of: which, see `sample_key`.
    """

    score: float
    splits: tuple[PwccaSplit, ...]
    low: float = math.nan
    high: float = math.nan
    draws: np.ndarray | None = field(default=None, repr=False, compare=False)
    units: int = field(default=0, repr=False, compare=False)
    of: str = field(default="", repr=False, compare=False)

    @property
    def interval(self) -> Interval:
        """Return the score with its interval and draws."""
        return Interval(self.score, self.low, self.high, self.draws, self.units, self.of)


def cross_validated_pwcca(
    x: ArrayLike,
    y: ArrayLike,
    strata: Sequence | None = None,
    protocol: str = "published",
    seed: int = 0,
    groups: Sequence | None = None,
) -> CrossValidatedPWCCA:
    """Fit on eight tenths of the samples, choose epsilons on the ninth, score on the last.

    Pasad et al., "Comparative layer-wise analysis of self-supervised speech models" (2023).
    Epsilon pairs come from {1e-11, 1e-10, 1e-9}^2 in random order; for each pair whose
    decomposition fails, one of {1e-8 ... 1e-5}^2 is tried.

    Args:
        x: (samples, dim), for instance vectors of a layer.
        y: (samples, dim) of the same samples, for instance one-hot words.
        strata: label of each sample; each tenth gets its share of each label.
        protocol: "published": three of the ten splits, the first six epsilon pairs that work;
            "full": all ten, all nine pairs.
        seed: of the tenths and the order of epsilons.
        groups: of each sample, such as its speaker: whole groups of the test samples are resampled
            (bootstrap) for an interval, with directions and their weights as they are. It knows
            the speakers of the test samples, and not what other training samples would have given.

    Raises:
        ValueError: see `PWCCA`; too few samples, strata that do not pair, or a protocol that is
            not known.

    Example:
        >>> phones = np.arange(600) % 3
        >>> labels = np.eye(3)[phones, :2]
        >>> vectors = labels + 0.01 * np.random.default_rng(0).standard_normal((600, 2))
        >>> round(cross_validated_pwcca(vectors, labels, strata=phones).score, 2)
        1.0
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"got protocol {protocol!r}; expected one of {list(PROTOCOLS)}.")
    x, y = paired_samples(x, y, dtype=None)
    rng = np.random.default_rng(seed)
    folds = stratified_folds(np.zeros(len(x)) if strata is None else strata, rng)
    if len(folds) != len(x):
        raise ValueError(f"got {len(folds)} strata for {len(x)} samples; expected one for each.")
    tests, num_pairs = PROTOCOLS[protocol]
    moments = _moments_of_folds(x, y, folds)
    found = [_split(x, y, folds, moments, test, num_pairs, rng) for test in tests]
    splits = tuple(split for split, _ in found)
    score = float(np.mean([split.score for split in splits]))
    if groups is None:
        return CrossValidatedPWCCA(score, splits)
    names, members = np.unique(np.asarray(groups), return_inverse=True)
    of = sample_key(names)
    fitted = [(pwcca, folds == test) for (_, pwcca), test in zip(found, tests, strict=True)]
    return CrossValidatedPWCCA(score, splits, *_interval(x, y, members, fitted, score), of)


def _interval(
    x: np.ndarray,
    y: np.ndarray,
    members: np.ndarray,
    fitted: Sequence[tuple[PWCCA, np.ndarray]],
    score: float,
) -> tuple[float, float, np.ndarray | None, int]:
    """Resample the groups of the test samples of all splits together.

    Correlations of few samples are biased, of resamples more so: the deviations of these from
    their mean are laid around the score.
    """
    number = int(members.max()) + 1
    if number < 2:
        return math.nan, math.nan, None, number
    generator = np.random.default_rng(0)
    times = generator.multinomial(number, np.full(number, 1 / number), NUM_RESAMPLES)
    scores = np.mean([
        pwcca.resampled_scores(x[test], y[test], members[test], times) for pwcca, test in fitted
    ], axis=0)  # fmt: skip
    draws = score + scores - np.nanmean(scores)
    low, high = np.nanpercentile(draws, (2.5, 97.5))
    return float(low), float(high), draws, number


def stratified_folds(strata: Sequence, rng: np.random.Generator) -> np.ndarray:
    """Deal the samples of each label to ten folds, as evenly as possible.

    Args:
        strata: label of each sample, (samples,).
        rng: of the dealing.

    Returns:
        Fold of each sample, (samples,), 0 to 9.
    """
    _, labels = np.unique(np.asarray(strata), return_inverse=True)
    order = rng.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    folds = np.empty(len(labels), dtype=np.int64)
    folds[order] = np.arange(len(labels)) % NUM_FOLDS  # on from label to label: equal sizes too
    return folds


def _moments_of_folds(x: np.ndarray, y: np.ndarray, folds: np.ndarray) -> list[Moments | None]:
    """Add up the samples of each fold once: every split trains on eight of the sums."""
    origins = x.mean(0, dtype=np.float64), y.mean(0, dtype=np.float64)
    members = (folds == fold for fold in range(NUM_FOLDS))
    return [Moments.of(x[mine], y[mine], *origins) if mine.any() else None for mine in members]


def _split(
    x: np.ndarray,
    y: np.ndarray,
    folds: np.ndarray,
    moments: Sequence[Moments | None],
    test: int,
    num_pairs: int,
    rng: np.random.Generator,
) -> tuple[PwccaSplit, PWCCA]:
    dev = (test + 1) % NUM_FOLDS
    train = [one for fold, one in enumerate(moments) if one and fold not in (test, dev)]
    if not train:
        raise ValueError(f"got {len(x)} samples; ten splits need more.")
    found = fit_all(Covariances.of_moments(reduce(add, train)), num_pairs, rng)
    scores = [pwcca.score(x[folds == dev], y[folds == dev]) for pwcca in found]
    best = found[int(np.argmax(scores))]
    score = best.score(x[folds == test], y[folds == test])
    return PwccaSplit(score, max(scores), best.epsilon_x, best.epsilon_y), best


def fit_all(covariances: Covariances, count: int, rng: np.random.Generator) -> list[PWCCA]:
    """Fit with the first `count` epsilon pairs that work, the smaller ones first.

    Raises:
        ValueError: none works.
    """
    found: list[PWCCA] = []
    for epsilons in (EPSILONS, LARGER_EPSILONS):
        pairs = list(itertools.product(epsilons, epsilons))
        for index in rng.permutation(len(pairs)):
            try:
                found.append(PWCCA(*pairs[index]).fit_covariances(covariances))
            except np.linalg.LinAlgError:
                continue
            if len(found) == count:
                return found
    if not found:
        raise ValueError(
            f"no epsilon up to {LARGER_EPSILONS[-1]:g} makes the covariances positive definite; "
            "remove dimensions that are sums of others, or give more samples."
        )
    return found
