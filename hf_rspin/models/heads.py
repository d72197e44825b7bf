"""Heads on an encoder: projections to unit vectors, and the codebook they are compared with."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from transformers import initialization as init


class SpinProjection(nn.Linear):
    """The layer before the L2 normalisation; a class of its own to be initialised by name."""

    def init_weights(self) -> None:
        """Initialise as torch does for a linear layer, as the authors; guarded, see `init`."""
        bound = 1 / math.sqrt(self.in_features)
        init.uniform_(self.weight, -bound, bound)
        init.uniform_(self.bias, -bound, bound)


class Codebook(nn.Module):
    """A matrix (codes, dim) whose rows are used at unit L2 norm, without a bias.

    The rows are renormalised before a training forward (the authors do it between forward and
    backward), so the gradient is that of the unit row itself. No `nn.Linear`, so that LoRA on
    "all-linear" leaves it alone.
    """

    def __init__(self, projection_size: int, codebook_size: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(codebook_size, projection_size))
        self.init_weights()

    def init_weights(self) -> None:
        """Draw the rows uniformly on the sphere; guarded, see `init`."""
        init.normal_(self.weight)
        init.copy_(self.weight, nn.functional.normalize(self.weight, dim=-1))

    def unit_rows(self) -> Tensor:
        """Return (codes, dim) with unit rows, in the parameter's dtype."""
        if not self.training:
            return nn.functional.normalize(self.weight, dim=-1)
        # through .data: a forward repeated before the backward must not invalidate the first
        self.weight.data.copy_(nn.functional.normalize(self.weight.data, dim=-1))
        return self.weight

    def forward(self, projections: Tensor) -> Tensor:
        """Return the cosines (..., codes) of unit `projections` (..., dim), in their dtype."""
        with torch.autocast(projections.device.type, enabled=False):
            return projections @ self.unit_rows().to(projections.dtype).T


class SpinHead(nn.Module):
    """Unit-norm projections and the codebook they are compared with (Spin section 2).

    z = L2-normalised Linear(h), no activation; logits = z . codebook^T are cosines.
    """

    def __init__(self, hidden_size: int, projection_size: int, codebook_size: int):
        super().__init__()
        self.projection = SpinProjection(hidden_size, projection_size)
        self.codebook = Codebook(projection_size, codebook_size)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """Project `hidden_states` (..., hidden) to unit vectors (..., dim), float32 at least."""
        return _unit(self.projection(hidden_states))


class LaserHead(nn.Module):
    """Frames as unit vectors: z = L2-normalised Linear(h), or of Linear, ReLU, Linear.

    Linear in LASER and in SCORE for HuBERT; Linear, ReLU, Linear in SCORE for WavLM. Shared by
    both views, not used after training.
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
        return _unit(projections)


def _unit(projections: Tensor) -> Tensor:
    if projections.dtype != torch.float64:
        projections = projections.float()
    return nn.functional.normalize(projections, dim=-1)


class DistillationHead(nn.Module):
    """Predicts the features of every target layer from hidden states of a student.

    DistilHuBERT's: Linear(hidden, hidden N), GELU, and a Linear for each of the N parts; USAD's:
    Linear, ReLU, Linear for each; or one Linear for each.
    """

    def __init__(self, hidden_size: int, target_dims: list[int], kind: str):
        super().__init__()
        self.shared = None
        if kind == "distilhubert":
            self.shared = nn.Linear(hidden_size, hidden_size * len(target_dims))
        self.outputs = nn.ModuleList(
            nn.Sequential(nn.Linear(hidden_size, hidden_size), nn.ReLU(),
                          nn.Linear(hidden_size, dim))
            if kind == "mlp" else nn.Linear(hidden_size, dim)
            for dim in target_dims
        )  # fmt: skip

    def forward(self, states: list[Tensor]) -> list[Tensor]:
        """Predict (batch, frames, dim) of each target from its state (batch, frames, hidden)."""
        if self.shared is not None:
            parts = nn.functional.gelu(self.shared(states[0]))
            states = parts.chunk(len(self.outputs), dim=-1)
        return [output(state) for output, state in zip(self.outputs, states, strict=True)]


class UnitHead(nn.Module):
    """HuBERT's head of masked prediction: a projection, and one embedding for each unit."""

    def __init__(self, hidden_size: int, final_dim: int, num_units: int):
        super().__init__()
        self.projection = nn.Linear(hidden_size, final_dim)
        self.embeddings = nn.Parameter(torch.empty(num_units, final_dim))
        self.init_weights()

    def init_weights(self) -> None:
        """Draw the embeddings; only directions matter, and short vectors turn faster."""
        init.normal_(self.embeddings, std=0.05)

    def forward(self, states: Tensor) -> Tensor:
        """Project (..., hidden) to (..., final_dim)."""
        return self.projection(states)
