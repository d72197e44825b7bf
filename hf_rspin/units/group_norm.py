"""GroupNorm of an encoder's first convolution with the statistics of whole recordings.

Base models normalise each channel of their first convolution over the whole recording. A window of
it, or a batch with padding, would be normalised differently. That convolution is linear with one
input channel, so that mean and variance of its output follow exactly from mean and covariance of
the few samples under its kernel: nothing has to be computed twice.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from hf_rspin.models.backbones.mr_hubert_sampling import MaskedGroupNorm

BLOCK = 2**18  # windows of the kernel worked on at a time
# of the recordings that this thread encodes: mean and 1 / deviation, (batch, channels, 1) each
_statistics: ContextVar[tuple[Tensor, Tensor] | None] = ContextVar("statistics", default=None)


@contextlib.contextmanager
def whole_statistics(
    encoder: PreTrainedModel, values: Tensor, lengths: Tensor | None = None
) -> Iterator[None]:
    """Normalise whatever `encoder` encodes inside as parts of `values`; threads do not mix.

    Args:
        encoder: without a group norm nothing happens.
        values: (batch, samples), the whole recordings, as the encoder reads them.
        lengths: (batch,) samples that are no padding; None: all.
    """
    convolution, norm = first_convolution(encoder)
    if norm is None:
        yield
        return
    with given_statistics(norm, *channel_statistics(convolution, norm, values, lengths)):
        yield


@contextlib.contextmanager
def given_statistics(norm: nn.GroupNorm, mean: Tensor, scale: Tensor) -> Iterator[None]:
    """Let a group norm of one channel per group use these statistics inside.

    Args:
        norm: of the first convolution.
        mean: (batch, channels, 1) of the convolution's output.
        scale: likewise, 1 / deviation.
    """
    norm.__class__ = GivenGroupNorm  # carries no state of its own
    token = _statistics.set((mean, scale))
    try:
        yield
    finally:
        _statistics.reset(token)


class GivenGroupNorm(MaskedGroupNorm):
    """GroupNorm of one channel per group, with the statistics that `whole_statistics` gives."""

    def forward(self, states: Tensor, mask: Tensor | None = None) -> Tensor:
        """Normalise (batch, channels, frames); MR-HuBERT gives a mask (batch, frames) too."""
        given = _statistics.get()
        if given is None:
            return super().forward(states, mask)
        mean, scale = given
        slope = scale * self.weight[:, None]
        return torch.addcmul(self.bias[:, None] - mean * slope, states.to(slope.dtype), slope)


def first_convolution(
    encoder: PreTrainedModel,
) -> tuple[nn.Conv1d, nn.GroupNorm] | tuple[None, None]:
    """Return the first convolution of an encoder and its group norm; None where it has none."""
    layer = encoder.base_model.feature_extractor.conv_layers[0]
    norm = getattr(layer, "layer_norm", None)
    if not isinstance(norm, nn.GroupNorm) or norm.num_groups != norm.num_channels:
        return None, None
    return layer.conv, norm


@torch.no_grad()
def channel_statistics(
    convolution: nn.Conv1d, norm: nn.GroupNorm, values: Tensor, lengths: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return mean and 1 / deviation, (batch, channels, 1), of the output of a convolution.

    Args:
        convolution: of one input channel, without padding.
        norm: whose epsilon counts.
        values: (batch, samples).
        lengths: (batch,) samples that are no padding; None: all.
    """
    kernel, stride = convolution.kernel_size[0], convolution.stride[0]
    weight, device = convolution.weight[:, 0], values.device.type
    if torch.is_autocast_enabled(device):  # what the convolution will see
        low = torch.get_autocast_dtype(device)
        values, weight = values.to(low), weight.to(low)
    weight, found = weight.double(), []
    for row, one in enumerate(values):
        samples = one if lengths is None else one[: int(lengths[row])]
        mean, covariance = _moments(samples.unfold(0, kernel, stride))
        variance = ((weight @ covariance) * weight).sum(1)  # (channels,)
        found.append((weight @ mean, (variance + norm.eps).rsqrt()))
    means, scales = (torch.stack(part)[:, :, None] for part in zip(*found, strict=True))
    if convolution.bias is not None:
        means = means + convolution.bias[:, None]
    return means.to(norm.weight.dtype), scales.to(norm.weight.dtype)


def _moments(windows: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean (kernel,) and covariance (kernel, kernel) of (windows, kernel), in float64."""
    total = windows.new_zeros(windows.shape[1], dtype=torch.float64)
    products = torch.diag_embed(total)
    for block in windows.split(BLOCK):
        block = block.double()
        total += block.sum(0)
        products += block.T @ block
    mean = total / len(windows)
    return mean, products / len(windows) - mean[:, None] * mean
