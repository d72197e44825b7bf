"""What makes the training step of an encoder cheaper and changes no result."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from hf_rspin.models.attention import choose_attention
from hf_rspin.models.blockwise_attention import draw_signs


def speed_up_training(encoder: PreTrainedModel) -> PreTrainedModel:
    """Give an encoder the fastest attention and dropout, and no gradient of the waveform, in place.

    Weights, outputs and gradients stay the same to rounding; dropout draws other masks from the
    same generator. The first convolution computes a gradient of the waveform, which nobody reads:
    transformers asks for it so that reentrant gradient checkpointing works, and so it stays with
    checkpointing.
    """
    choose_attention(encoder)
    for module in encoder.modules():
        if type(module) is nn.Dropout:
            module.__class__ = FastDropout
    convolutions = getattr(encoder, "feature_extractor", None)
    if hasattr(convolutions, "_requires_grad"):
        if _release_waveform not in convolutions._forward_pre_hooks.values():
            convolutions.register_forward_pre_hook(_release_waveform)
    return encoder


class FastDropout(nn.Dropout):
    """Dropout that draws its mask with `draw_signs` on CPUs; elsewhere torch's."""

    def forward(self, input: Tensor) -> Tensor:
        """Drop elements of a tensor of any shape with probability `p` while training."""
        slow = input.device.type != "cpu" or torch.compiler.is_compiling()
        if slow or self.inplace or not self.training or not 0 < self.p < 1:
            return super().forward(input)
        return _Drop.apply(input, self.p)


class _Drop(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, input: Tensor, p: float) -> Tensor:
        keep = draw_signs(input.shape, p) >= 0
        ctx.save_for_backward(keep)
        ctx.scale = 1 / (1 - p)
        return torch.where(keep, input, 0).mul_(ctx.scale)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return torch.where(ctx.saved_tensors[0], grad, 0).mul_(ctx.scale), None


def _release_waveform(convolutions: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    layers = convolutions.conv_layers
    checkpointing = any(getattr(layer, "gradient_checkpointing", False) for layer in layers)
    trains = any(parameter.requires_grad for parameter in convolutions.parameters())
    convolutions._requires_grad = checkpointing and trains
