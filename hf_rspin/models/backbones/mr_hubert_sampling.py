"""Changing the frame rate between two blocks of MR-HuBERT, and group norms that see no padding."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers.models.hubert.modeling_hubert import (
    HubertFeatureEncoder,
    HubertGroupNormConvLayer,
)

_SCALE = 0.4**0.5  # of each residual sum


class MaskedGroupNorm(nn.GroupNorm):
    """Group norm over channels and time whose mean and variance leave padding out.

    The public code counts padding in, as `nn.GroupNorm` does; see `MRHubertModel` for what that
    changes.
    """

    def forward(self, states: Tensor, mask: Tensor | None = None) -> Tensor:
        """Normalise each utterance.

        Args:
            states: (batch, channels, frames).
            mask: (batch, frames) bool, True on frames that count; None: all do.
        """
        if mask is None:
            return super().forward(states)
        with torch.autocast(states.device.type, enabled=False):
            wide = states.float().unflatten(1, (self.num_groups, -1))  # (batch, groups, ., frames)
            weight = mask[:, None, None, :].to(wide.dtype)
            count = weight.sum(dim=(2, 3), keepdim=True).clamp_min(1) * wide.shape[2]
            mean = (wide * weight).sum(dim=(2, 3), keepdim=True) / count
            centred = wide - mean
            variance = (centred.square() * weight).sum(dim=(2, 3), keepdim=True) / count
            normalised = (centred * torch.rsqrt(variance + self.eps)).flatten(1, 2)
            scaled = normalised * self.weight[:, None].float() + self.bias[:, None].float()
        return scaled.to(states.dtype)


class SamplingModule(nn.Module):
    """Frames repeated u times and then thinned out to every d-th, with learned residuals.

    arXiv 2310.02720, section 3.2, with the kernels of size 1 that every released model has:

        r = repeat(x, u);  a = c (gelu(norm(up(x))) + r)
        y = c (c (gelu(norm(down(a))) + a[::d]) + r[::d]),  c = sqrt(0.4)

    where up is a transposed convolution of stride u, and down a convolution of stride d. The
    simple form has one of the two only: it gives a on the way up; on the way down y without its
    last sum, and with x for a.

    Args:
        channels: of the states.
        ratio: u and d.
        rising: on the way up, to a higher resolution; decides on the simple form only.
        simple: the simple form.
        masked: norms leave padding out.
    """

    def __init__(
        self, channels: int, ratio: tuple[int, int], rising: bool, simple: bool, masked: bool
    ):
        super().__init__()
        self.up, self.down = up, down = ratio
        self.simple, self.masked = simple, masked
        self.has_up, self.has_down = not simple or rising, not simple or not rising
        if self.has_up:
            self.up_conv = nn.ConvTranspose1d(
                channels, channels, 1, stride=up, output_padding=up - 1, bias=False
            )
            self.up_norm = MaskedGroupNorm(1, channels)
        if self.has_down:
            self.down_conv = nn.Conv1d(channels, channels, 1, stride=down, bias=False)
            self.down_norm = MaskedGroupNorm(1, channels)

    def forward(self, states: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Change the frame rate.

        Args:
            states: (batch, frames, channels).
            mask: (batch, frames) bool, False on padding; or None.

        Returns:
            (batch, ceil(frames * u / d), channels), and the mask of these frames.
        """
        states = states.transpose(1, 2)  # (batch, channels, frames)
        repeated = states.repeat_interleave(self.up, dim=2)
        mask = None if mask is None else mask.repeat_interleave(self.up, dim=1)
        if self.has_up:
            states = self._add(self.up_norm, self.up_conv(states), repeated, mask)
        if self.has_down:
            thin = slice(None, None, self.down)
            mask = None if mask is None else mask[:, thin]
            states = self._add(self.down_norm, self.down_conv(states), states[..., thin], mask)
            if not self.simple:
                states = (states + repeated[..., thin]) * _SCALE
        return states.transpose(1, 2), mask

    def _add(
        self, norm: MaskedGroupNorm, states: Tensor, residual: Tensor, mask: Tensor | None
    ) -> Tensor:
        normalised = norm(states, mask if self.masked else None)
        return (nn.functional.gelu(normalised) + residual) * _SCALE


class MaskedConvLayer(HubertGroupNormConvLayer):
    """HuBERT's first convolution, whose group norm over time can leave padding out."""

    def __init__(self, config, layer_id: int = 0):
        super().__init__(config, layer_id)
        self.layer_norm = MaskedGroupNorm(self.out_conv_dim, self.out_conv_dim)

    def forward(self, hidden_states: Tensor, mask: Tensor | None = None) -> Tensor:
        """Filter (batch, 1, samples) under a mask (batch, outputs) bool, or None."""
        return self.activation(self.layer_norm(self.conv(hidden_states), mask))


class MaskedFeatureEncoder(HubertFeatureEncoder):
    """HuBERT's convolutions, where a group norm in front can leave padding out."""

    def __init__(self, config):
        super().__init__(config)
        if config.feat_extract_norm == "group":
            self.conv_layers[0] = MaskedConvLayer(config)

    def forward(self, input_values: Tensor, samples: Tensor | None = None) -> Tensor:
        """Filter waveforms.

        Args:
            input_values: (batch, samples) at 16 kHz.
            samples: (batch,) long, the samples of each that are no padding; None: count all.

        Returns:
            (batch, channels, frames).
        """
        first = self.conv_layers[0]
        if samples is None or not isinstance(first, MaskedConvLayer):
            return super().forward(input_values)
        states = input_values[:, None]
        if self._requires_grad and self.training:
            states.requires_grad = True  # as the stock one: gradient checkpointing asks for it
        outputs = (samples - first.conv.kernel_size[0]) // first.conv.stride[0] + 1
        total = (input_values.shape[1] - first.conv.kernel_size[0]) // first.conv.stride[0] + 1
        mask = torch.arange(total, device=samples.device) < outputs[:, None].clamp_min(1)
        states = first(states, mask)
        for layer in self.conv_layers[1:]:
            states = layer(states)
        return states
