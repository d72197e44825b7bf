"""What a model normalises over a whole recording, taken over what was heard of it so far."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import torch
from transformers import PreTrainedModel

from hf_rspin.units.group_norm import first_convolution, given_statistics

EPSILON = 1e-7  # as `normalize_waveforms`


class HeardStatistics:
    """Mean and variance of samples, and of the first convolution's output, of sound so far.

    The convolution is linear with one input channel: the moments of the samples under its kernel
    tell those of its output, see `group_norm`. So a stream costs no memory, and near its end every
    window is normalised nearly as in the whole recording.

    Args:
        model: whose first convolution may have a group norm; None: there is none.
        normalize: waveforms get mean 0 and variance 1.
    """

    def __init__(self, model: PreTrainedModel | None, normalize: bool) -> None:
        self.normalize = normalize
        self.convolution, self.norm = None, None
        if model is not None:
            self.convolution, self.norm = first_convolution(model)
        self._count, self._sum, self._squares = 0, 0.0, 0.0
        kernel = 1 if self.convolution is None else self.convolution.kernel_size[0]
        self._windows, self._tail = 0, np.zeros(0)
        self._total, self._products = np.zeros(kernel), np.zeros((kernel, kernel))

    def add(self, samples: np.ndarray) -> None:
        """Count the samples (n,) that follow."""
        samples = samples.astype(np.float64)
        self._count += len(samples)
        self._sum += samples.sum()
        self._squares += (samples * samples).sum()
        if self.convolution is None:
            return
        kernel, stride = self.convolution.kernel_size[0], self.convolution.stride[0]
        heard = np.concatenate([self._tail, samples])
        if len(heard) < kernel:
            self._tail = heard
            return
        found = np.lib.stride_tricks.sliding_window_view(heard, kernel)[::stride]
        self._windows += len(found)
        self._total += found.sum(0)
        self._products += found.T @ found
        self._tail = heard[stride * len(found) :]

    def normalized(self, samples: np.ndarray) -> np.ndarray:
        """Return samples as the model reads them."""
        mean, scale = self._affine()
        return ((samples - mean) * scale).astype(np.float32) if self.normalize else samples

    @contextlib.contextmanager
    def used(self) -> Iterator[None]:
        """Let the group norm, if there is one, use the statistics inside."""
        if self.norm is None:
            yield
            return
        shift, factor = self._affine() if self.normalize else (0.0, 1.0)
        mean = self._total / self._windows
        covariance = (self._products / self._windows - mean[:, None] * mean) * factor**2
        mean = (mean - shift) * factor
        weight = self.convolution.weight[:, 0].detach()  # (channels, kernel)
        parts = (torch.from_numpy(part).to(weight.device) for part in (mean, covariance))
        mean, covariance = parts
        weight = weight.double()
        means = weight @ mean
        if self.convolution.bias is not None:
            means = means + self.convolution.bias.detach()
        scales = (((weight @ covariance) * weight).sum(1) + self.norm.eps).rsqrt()
        kind = self.norm.weight.dtype
        with given_statistics(self.norm, *(one[None, :, None].to(kind) for one in (means, scales))):
            yield

    def _affine(self) -> tuple[float, float]:
        """Return mean and 1 / deviation of the samples."""
        mean = self._sum / self._count
        return mean, (max(self._squares / self._count - mean * mean, 0.0) + EPSILON) ** -0.5
