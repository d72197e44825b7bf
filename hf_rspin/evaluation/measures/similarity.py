"""Linear centred kernel alignment (CKA) between two sets of frames, in one pass."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

LARGE = 1e6  # times the size of the first frames: sums of fourth powers leave float32 from 1e9 on


class LinearCKA:
    """Linear CKA of paired frames x, y (R-Spin, Figure 4), without keeping them, layer by layer.

    CKA = |Y^T X|_F^2 / (|X^T X|_F |Y^T Y|_F) with centred columns. `debiased_value` removes the
    bias of few frames in many dimensions (two unrelated sets gave 0.105 biased, 0.004 debiased):
    the unbiased HSIC estimator of Song et al. (2012) with linear kernels, in feature space.

    Sums are kept in float64 about the first batch's mean and in units of its size, so that large
    offsets cancel early and no scale overflows.
    Frames of one utterance are not independent; neither estimator knows that.

    Example:
        >>> cka = LinearCKA()
        >>> for _ in range(2):                # utterances
        ...     clean = torch.randn(3, 50, 8)  # (layers, frames, dim)
        ...     cka.update(clean, 2 * clean)
        >>> [round(one, 4) for one in cka.debiased_value()]  # one number per layer
        [1.0, 1.0, 1.0]
    """

    def __init__(self) -> None:
        self.num_frames = 0
        self._origin: tuple[_Origin, _Origin] | None = None
        # Sums over frames of phi(x) phi(y)^T, where phi(x) = [|x|^2, x, 1]: every moment needed.
        self._moments: dict[str, Tensor | float] = {"xx": 0.0, "yy": 0.0, "xy": 0.0}

    @torch.inference_mode()
    def update(self, x: Tensor | np.ndarray, y: Tensor | np.ndarray) -> None:
        """Add paired frames (layers, frames, dim); the two dims may differ.

        Raises:
            ValueError: the two do not pair, or their dims are not those of the frames before.
        """
        x, y = _alike(x, y)
        if x.ndim != 3 or x.shape[:2] != y.shape[:2]:
            raise ValueError(
                f"got x {tuple(x.shape)} and y {tuple(y.shape)}; expected (layers, frames, dim) "
                "with equal layers and frames: compare the same utterances, equally cropped."
            )
        if x.shape[1] == 0:
            return
        if self._origin is None:
            self._origin = _Origin(x), _Origin(y)
        x, y = (one(frames) for one, frames in zip(self._origin, (x, y), strict=True))
        if max(x.abs().max(), y.abs().max()) > LARGE:  # the first frames were unlike all others
            x, y = x.double(), y.double()
        x, y = _augmented(x), _augmented(y)
        for name, left, right in (("xx", x, x), ("yy", y, y), ("xy", x, y)):
            self._moments[name] = self._moments[name] + (left.mT @ right).double()
        self.num_frames += x.shape[1]

    def value(self) -> list[float]:
        """Return the biased (usual) CKA per layer; nan where a side is constant.

        Raises:
            ValueError: no frame came.
        """
        if self.num_frames == 0:
            raise ValueError("got no frames; call update with paired frames first.")
        return _ratio(*(_energy(self._centred(name)) for name in ("xy", "xx", "yy")))

    def debiased_value(self) -> list[float]:
        """Return the debiased CKA per layer; may be slightly negative.

        Raises:
            ValueError: fewer than four frames came.
        """
        n = self.num_frames
        if n < 4:
            raise ValueError(f"got {n} frames; debiased CKA needs four or more.")
        trace = {side: self._centred(2 * side).diagonal(dim1=-2, dim2=-1).sum(-1) for side in "xy"}

        def unbiased(pair: str) -> Tensor:
            return (
                _energy(self._centred(pair))
                - n / (n - 2) * self._norm_products(pair)
                + trace[pair[0]] * trace[pair[1]] / ((n - 1) * (n - 2))
            )

        return _ratio(unbiased("xy"), unbiased("xx"), unbiased("yy"))

    def _mean(self, side: str) -> Tensor:
        return self._moments[side * 2][:, -1, 1:-1] / self.num_frames  # (layers, dim)

    def _centred(self, pair: str) -> Tensor:
        """Sum over frames of (x - mean)(y - mean)^T, (layers, dim x, dim y)."""
        means = self._mean(pair[0])[:, :, None] * self._mean(pair[1])[:, None, :]
        return self._moments[pair][:, 1:-1, 1:-1] - self.num_frames * means

    def _norm_products(self, pair: str) -> Tensor:
        """Sum over frames of |x - mean|^2 |y - mean|^2, (layers,)."""
        left, right = (self._norm_weights(side) for side in pair)
        return (left[:, None, :] @ self._moments[pair] @ right[:, :, None])[:, 0, 0]

    def _norm_weights(self, side: str) -> Tensor:
        """Return w with |x - m|^2 = w . phi(x): [1, -2 m, |m|^2], (layers, dim + 2)."""
        mean = self._mean(side)
        square = mean.square().sum(-1, keepdim=True)
        return torch.cat([torch.ones_like(square), -2 * mean, square], dim=-1)


def linear_cka(x: Tensor | np.ndarray, y: Tensor | np.ndarray, debiased: bool = False) -> float:
    """Return the linear CKA of paired frames (frames, dim); the two dims may differ.

    Args:
        x: frames of one view, a tensor, array or list.
        y: the same frames of the other view.
        debiased: without the bias of few frames in many dimensions; see `LinearCKA`.
    """
    stream = LinearCKA()
    x, y = _alike(x, y)
    stream.update(x[None], y[None])
    return (stream.debiased_value() if debiased else stream.value())[0]


class _Origin:
    """Moves frames by the mean, and divides them by the size, of the first ones of each layer."""

    def __init__(self, frames: Tensor) -> None:
        self.mean = frames.mean(1, keepdim=True)
        size = (frames - self.mean).abs().amax((1, 2), keepdim=True)
        largest = frames.abs().amax((1, 2), keepdim=True)
        # of constant frames the mean is off by rounding: that is no size
        size = torch.where(size > 16 * torch.finfo(size.dtype).eps * largest, size, largest)
        # a power of two: no number is rounded
        usable = size.isfinite() & (size > 0)
        self.size = torch.exp2(torch.where(usable, size, 1.0).log2().round())

    def __call__(self, frames: Tensor) -> Tensor:
        if frames.shape[::2] != self.mean.shape[::2]:
            raise ValueError(
                f"got frames {tuple(frames.shape)} after others of {self.mean.shape[0]} layers and "
                f"{self.mean.shape[2]} dimensions; expected (layers, frames, dim) of those."
            )
        return (frames - self.mean) / self.size


def _floating(x: Tensor | np.ndarray) -> Tensor:
    x = torch.as_tensor(x)
    return x if x.dtype in (torch.float32, torch.float64) else x.float()


def _alike(x: Tensor | np.ndarray, y: Tensor | np.ndarray) -> tuple[Tensor, Tensor]:
    """Return both in the more precise of their types."""
    x, y = _floating(x), _floating(y)
    dtype = torch.promote_types(x.dtype, y.dtype)
    return x.to(dtype), y.to(dtype)


def _augmented(x: Tensor) -> Tensor:
    """(layers, frames, dim) -> [|x|^2, x, 1], (layers, frames, dim + 2)."""
    square = x.square().sum(-1, keepdim=True)
    return torch.cat([square, x, torch.ones_like(square)], dim=-1)


def _energy(product: Tensor) -> Tensor:
    return product.square().sum((-2, -1))


def _ratio(cross: Tensor, own_x: Tensor, own_y: Tensor) -> list[float]:
    triples = zip(cross.tolist(), own_x.tolist(), own_y.tolist(), strict=True)
    return [c / math.sqrt(x * y) if x > 0 and y > 0 else math.nan for c, x, y in triples]
