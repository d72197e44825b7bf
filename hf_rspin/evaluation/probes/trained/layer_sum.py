"""The SUPERB featurizer: a learned weighted sum of the layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class WeightedLayerSum(nn.Module):
    """Softmax over one learned weight per layer, zeros at the start: all layers count the same.

    Args:
        num_layers: encoder input and every layer.

    Example:
        >>> WeightedLayerSum(13)(torch.randn(13, 50, 768)).shape
        torch.Size([50, 768])
    """

    def __init__(self, num_layers: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(num_layers))

    def forward(self, features: Tensor) -> Tensor:
        """(layers, frames, dim) -> (frames, dim).

        Raises:
            ValueError: another number of layers.
        """
        layers, frames, dim = features.shape
        if layers != len(self.weights):
            raise ValueError(
                f"got features of {layers} layers, expected {len(self.weights)}: give those of "
                "the encoder that the probe was trained on."
            )
        return (self.weights.softmax(0) @ features.reshape(layers, -1)).view(frames, dim)

    @torch.no_grad()
    def normalized_weights(self, layer_norms: Tensor) -> Tensor:
        """Weights for plots, (layers,): w_l * mean L2 norm of layer l, with sum 1 (B.2)."""
        scaled = self.weights.softmax(0) * layer_norms.to(self.weights)
        return scaled / scaled.sum()
