"""The projection of LASER and SCORE: shared by both views, not used after training."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .heads import SpinProjection


class LaserHead(nn.Module):
    """Frames as unit vectors: z = L2-normalised Linear(h), or of Linear, ReLU, Linear.

    Linear in LASER and in SCORE for HuBERT; Linear, ReLU, Linear in SCORE for WavLM.
    """

    def __init__(self, hidden_size: int, projection_size: int, num_layers: int):
        super().__init__()
        self.projection = SpinProjection(hidden_size, projection_size)
        self.output = SpinProjection(projection_size, projection_size) if num_layers == 2 else None

    def forward(self, hidden_states: Tensor) -> Tensor:
        """Project `hidden_states` (..., hidden) to unit vectors (..., dim), float32 at least."""
        projections = self.projection(hidden_states)
        if self.output is not None:
            projections = self.output(nn.functional.relu(projections))
        if projections.dtype != torch.float64:
            projections = projections.float()
        return nn.functional.normalize(projections, dim=-1)
