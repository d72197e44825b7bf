"""Projection-weighted CCA (PWCCA) of paired samples, as in layer-wise analyses of speech models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

SMALLEST = 1e-8  # a projection this small beside the largest one is rounding noise


class PWCCA:
    """Canonical correlations of two views, averaged with weights; the variant of Pasad et al.

    "Comparative layer-wise analysis of self-supervised speech models" (2023), as published code
    has it. Covariances are divided by their largest entry, epsilons are added to the diagonals,
    A = Sxx^(-1/2), B = Syy^(-1/2), U s V^T = svd(A Sxy B); U^T A and V^T B project. Dimensions
    with less variance than epsilon, relative to the largest entry, are left out.

    Held-out samples: rho_i is the signed correlation of the i-th projections z_i. Weights come
    from the view of fewer dimensions (the second, if equal): with D = z + feature means and Q of
    its QR decomposition, alpha_i = sum over features of |Q_i^T feature|, normalised.

    Correlations do not change under rotation, scaling and offset of either view. The weights do
    not change under scaling; but they see the axes and the offset of the view that they come
    from, and with an offset also the signs that the decomposition happens to choose.

    Args:
        epsilon_x: added to the diagonal of Sxx / max |Sxx|.
        epsilon_y: likewise of Syy.

    Example:
        >>> x = np.random.default_rng(0).standard_normal((200, 4))  # (samples, dim)
        >>> pwcca = PWCCA(1e-10, 1e-10).fit(x[:100], 3 * x[:100, ::-1])
        >>> round(pwcca.score(x[100:], 3 * x[100:, ::-1]), 6)
        1.0
    """

    def __init__(self, epsilon_x: float = 1e-10, epsilon_y: float = 1e-10) -> None:
        if not (epsilon_x >= 0 and epsilon_y >= 0):
            raise ValueError(f"got epsilons {epsilon_x} and {epsilon_y}; expected zero or more.")
        self.epsilon_x, self.epsilon_y = epsilon_x, epsilon_y
        self._projections: tuple[np.ndarray, np.ndarray] | None = None  # (directions, kept) each
        self._kept: tuple[np.ndarray, np.ndarray]  # (dim,) each

    def fit(self, x: ArrayLike, y: ArrayLike) -> PWCCA:
        """Find the directions from paired samples (samples, dim); the two dims may differ.

        Raises:
            ValueError: the two do not pair, not more samples than dimensions, a view that is
                constant, or nan; `numpy.linalg.LinAlgError` (also a ValueError): a covariance is
                not positive definite with this epsilon.
        """
        return self.fit_covariances(Covariances(x, y))

    def fit_covariances(self, covariances: Covariances) -> PWCCA:
        """Find the directions from covariances, which other epsilons can share; see `fit`."""
        kept_x, root_x = covariances.inverse_root(0, self.epsilon_x)
        kept_y, root_y = covariances.inverse_root(1, self.epsilon_y)
        u, _, vt = np.linalg.svd(root_x @ covariances.cross[np.ix_(kept_x, kept_y)] @ root_y)
        count = min(len(root_x), len(root_y))
        self._projections = (u.T @ root_x)[:count], (vt @ root_y)[:count]
        self._kept = kept_x, kept_y
        return self

    def correlations(self, x: ArrayLike, y: ArrayLike) -> np.ndarray:
        """Return the correlation along each direction, (directions,); their mean is unweighted.

        0 where the samples do not vary along a direction: one-hot labels always have one, as their
        sum is constant, and the published code correlates the rounding noise that is left there.
        """
        (_, zx), (_, zy) = self._projected(x, y)
        return _correlations(zx, zy)

    def score(self, x: ArrayLike, y: ArrayLike) -> float:
        """Return the weighted mean of the correlations of samples (samples, dim).

        Raises:
            ValueError: `fit` was not called, the samples do not fit to those of `fit`, or there
                are fewer than directions.
        """
        (x, zx), (y, zy) = self._projected(x, y)
        lower, z = (x, zx) if x.shape[1] < y.shape[1] else (y, zy)
        return float(_weights(lower, z) @ _correlations(zx, zy))

    def resampled_scores(
        self, x: ArrayLike, y: ArrayLike, groups: np.ndarray, times: np.ndarray
    ) -> np.ndarray:
        """Return scores of resamples of the samples, with the weights of the directions kept.

        Moments of the projections are added up per group once, so that nothing is fitted again.

        Args:
            x: (samples, dim).
            y: (samples, dim).
            groups: of each sample, from 0, (samples,).
            times: how often each group is in each resample, (resamples, groups).

        Returns:
            (resamples,); nan where a resample has no sample.
        """
        (x, zx), (y, zy) = self._projected(x, y)
        lower, z = (x, zx) if x.shape[1] < y.shape[1] else (y, zy)
        columns = np.stack([np.ones_like(zx), zx, zy, zx**2, zy**2, zx * zy], axis=1)
        sums = np.zeros((times.shape[1], *columns.shape[1:]))
        np.add.at(sums, groups, columns)
        n, *moments = np.moveaxis(np.tensordot(times, sums, 1), 1, 0)  # (resamples, directions)
        with np.errstate(invalid="ignore", divide="ignore"):
            mx, my, xx, yy, xy = (moment / n for moment in moments)
            deviations = [
                np.sqrt(np.maximum(second - first**2, 0)) for first, second in ((mx, xx), (my, yy))
            ]
            varies = np.logical_and(*(
                one > SMALLEST * one.max(axis=1, keepdims=True) for one in deviations
            ))  # fmt: skip
            spread = np.where(varies, deviations[0] * deviations[1], 1)
            correlations = np.where(varies, (xy - mx * my) / spread, 0.0)
        return np.where(n[:, 0] > 0, correlations @ _weights(lower, z), np.nan)

    def mean_score(self, x: ArrayLike, y: ArrayLike) -> float:
        """Return the mean of two scores: with the weights of the first and of the second view.

        As in the published code, which takes the first features of the view that has more.
        """
        (x, zx), (y, zy) = self._projected(x, y)
        weights = (_weights(x, zx) + _weights(y, zy)) / 2
        return float(weights @ _correlations(zx, zy))

    def _projected(self, x: ArrayLike, y: ArrayLike) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return the kept features and the projections of each view, (samples, ...)."""
        if self._projections is None:
            raise ValueError("PWCCA has no directions yet; call fit before scoring.")
        views = paired_samples(x, y)
        dims, fitted = [view.shape[1] for view in views], [len(kept) for kept in self._kept]
        if dims != fitted:
            raise ValueError(
                f"got samples of {dims} dimensions; expected {fitted}, those that fit saw."
            )
        count = len(self._projections[0])
        if len(views[0]) < count:
            raise ValueError(
                f"got {len(views[0])} samples for {count} directions; scoring needs as many "
                "samples as directions: give more samples, or a view of fewer dimensions."
            )
        views = [view[:, kept] for view, kept in zip(views, self._kept, strict=True)]
        return [
            (view, (view - view.mean(0)) @ projection.T)
            for view, projection in zip(views, self._projections, strict=True)
        ]


@dataclass(frozen=True)
class Moments:
    """What covariances need of paired samples; those of two sets of samples can be added.

    Args:
        count: samples.
        sums: of each view, from an origin near its mean, (dim,) each.
        products: x with x, y with y, x with y, summed over samples.
        lowest: value of each dimension of each view.
        highest: likewise.
    """

    count: int
    sums: tuple[np.ndarray, ...]
    products: tuple[np.ndarray, ...]
    lowest: tuple[np.ndarray, ...]
    highest: tuple[np.ndarray, ...]

    @classmethod
    def of(
        cls, x: np.ndarray, y: np.ndarray, origin_x: np.ndarray, origin_y: np.ndarray
    ) -> Moments:
        """Add up samples, (samples, dim) each, of any precision; origins in float64."""
        lowest, highest = (x.min(0), y.min(0)), (x.max(0), y.max(0))
        x, y = x - origin_x, y - origin_y
        products = x.T @ x, y.T @ y, x.T @ y
        return cls(len(x), (x.sum(0), y.sum(0)), products, lowest, highest)

    def __add__(self, other: Moments) -> Moments:
        def pairs(combine: Callable, name: str) -> tuple[np.ndarray, ...]:
            both = zip(getattr(self, name), getattr(other, name), strict=True)
            return tuple(combine(*pair) for pair in both)

        return Moments(
            self.count + other.count, pairs(np.add, "sums"), pairs(np.add, "products"),
            pairs(np.minimum, "lowest"), pairs(np.maximum, "highest"),
        )  # fmt: skip

    def centred_products(self) -> list[np.ndarray]:
        """Return the covariances (ddof 1): x with x, y with y, x with y."""
        (x, y), degrees = self.sums, self.count - 1
        shifts = np.outer(x, x), np.outer(y, y), np.outer(x, y)
        return [
            (product - shift / self.count) / degrees
            for product, shift in zip(self.products, shifts, strict=True)
        ]


class Covariances:
    """Covariances (ddof 1) of paired samples (samples, dim), divided by their largest entries.

    Attributes:
        own: of each view with itself, (dim, dim) each.
        cross: of the first with the second, (dim x, dim y).
    """

    def __init__(self, x: ArrayLike, y: ArrayLike) -> None:
        views = paired_samples(x, y)
        self._take(Moments.of(*views, *(view.mean(0) for view in views)))

    @classmethod
    def of_moments(cls, moments: Moments) -> Covariances:
        """Return the covariances of the samples that were added up."""
        found = cls.__new__(cls)
        found._take(moments)
        return found

    def _take(self, moments: Moments) -> None:
        for number, name in enumerate("xy"):
            dim = len(moments.sums[number])
            if moments.count <= dim:
                raise ValueError(
                    f"got {moments.count} samples of {dim} dimensions in {name}; CCA needs "
                    "more samples than dimensions: give more samples, or fewer dimensions."
                )
            if not (moments.highest[number] > moments.lowest[number]).any():
                raise ValueError(f"all samples of {name} are equal; CCA needs samples that vary.")
        xx, yy, xy = moments.centred_products()
        largest = np.abs(xx).max(), np.abs(yy).max()
        self.own = xx / largest[0], yy / largest[1]
        self.cross = xy / np.sqrt(largest[0] * largest[1])
        self._roots: dict[tuple[int, float], tuple[np.ndarray, np.ndarray]] = {}

    def inverse_root(self, view: int, epsilon: float) -> tuple[np.ndarray, np.ndarray]:
        """Return (S + epsilon I)^(-1/2) of the kept dimensions of a view, and which are kept.

        Returns:
            Booleans (dim,) and the root (kept, kept).

        Raises:
            numpy.linalg.LinAlgError: S + epsilon I is not positive definite.
        """
        if (view, epsilon) not in self._roots:
            covariance = self.own[view]
            kept = np.abs(covariance.diagonal()) >= epsilon
            if not kept.any():
                raise ValueError(
                    f"no dimension of {'xy'[view]} varies by epsilon {epsilon:g} of the one that "
                    "varies most; give a smaller one."
                )
            regular = covariance[np.ix_(kept, kept)] + epsilon * np.eye(kept.sum())
            values, vectors = np.linalg.eigh(regular)
            if not (values > 0).all():
                raise np.linalg.LinAlgError(
                    f"the covariance of {'xy'[view]} is not positive definite with epsilon "
                    f"{epsilon:g}; take a larger one, or remove dimensions that are redundant."
                )
            self._roots[view, epsilon] = kept, (vectors / np.sqrt(values)) @ vectors.T
        return self._roots[view, epsilon]


def _correlations(zx: np.ndarray, zy: np.ndarray) -> np.ndarray:
    norms = [np.linalg.norm(z, axis=0) for z in (zx, zy)]
    varies = np.all([norm > SMALLEST * norm.max() for norm in norms], axis=0)
    products = (zx * zy).sum(0)
    return np.divide(products, norms[0] * norms[1], out=np.zeros_like(products), where=varies)


def _weights(view: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Return how much of the features (samples, kept) each projection tells, (directions,)."""
    view = view[:, : z.shape[1]]
    q, _ = np.linalg.qr(z + view.mean(0))
    weights = np.abs(q.T @ view).sum(1)
    return weights / max(weights.sum(), np.finfo(np.float64).tiny)


def paired_samples(x: ArrayLike, y: ArrayLike, dtype: type | None = np.float64) -> list[np.ndarray]:
    """Return both, (samples, dim) each, as `dtype`; None: floats as they are, others as float64.

    Raises:
        ValueError: the two do not pair, or hold nan.
    """
    views = [np.asarray(view, dtype=dtype) for view in (x, y)]
    known = (np.float16, np.float32, np.float64)  # linear algebra has no longer ones
    views = [view if view.dtype in known else view.astype(np.float64) for view in views]
    shapes = [view.shape for view in views]
    if any(len(shape) != 2 or 0 in shape for shape in shapes) or shapes[0][0] != shapes[1][0]:
        raise ValueError(
            f"got x {shapes[0]} and y {shapes[1]}; expected (samples, dim) each, of the same "
            "samples."
        )
    if not all(np.isfinite(view).all() for view in views):
        raise ValueError("got samples that are not finite; remove nan and infinity first.")
    return views
