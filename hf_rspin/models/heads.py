"""The two heads on an encoder: projections against a codebook, and pseudo-label scores."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from transformers import initialization as init

from .ranks import reduce_sum_, sum_over_ranks


class SpinProjection(nn.Linear):
    """The layer before the L2 normalisation; a class of its own to be initialised by name."""

    def init_weights(self) -> None:
        """Initialise as torch does for a linear layer, as the authors; guarded, see `init`."""
        bound = 1 / math.sqrt(self.in_features)
        init.uniform_(self.weight, -bound, bound)
        init.uniform_(self.bias, -bound, bound)


class Codebook(nn.Linear):
    """A matrix (codes, dim) whose rows are used at unit L2 norm, without a bias.

    The rows are renormalised before a training forward (the authors do it between forward and
    backward), so the gradient is that of the unit row itself.
    """

    def __init__(self, projection_size: int, codebook_size: int):
        super().__init__(projection_size, codebook_size, bias=False)

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
        projections = self.projection(hidden_states)
        if projections.dtype != torch.float64:
            projections = projections.float()
        return nn.functional.normalize(projections, dim=-1)


class LabelLossOutput(NamedTuple):
    """Cross-entropy and accuracy over the labelled frames of all ranks; scalar tensors."""

    loss: Tensor
    accuracy: Tensor


def label_loss(logits: Tensor, labels: Tensor) -> LabelLossOutput:
    """Average cross-entropy over labelled frames (R-Spin, Equation 2).

    In a distributed run the mean runs over the frames of all ranks; see `ranks`.

    Args:
        logits: (frames, labels), any floating dtype; computed in float32 at least.
        labels: (frames,) long, -100 where a frame has no label.
    """
    if logits.dtype != torch.float64:
        logits = logits.float()
    total = nn.functional.cross_entropy(logits, labels, ignore_index=-100, reduction="sum")
    hits = (logits.detach().max(dim=-1).indices == labels).sum()
    counts = reduce_sum_(torch.stack([hits, (labels != -100).sum()]).to(total.dtype))
    # a batch without a label gives 0, not NaN
    num_labels = counts[1].clamp_min(1)
    return LabelLossOutput(sum_over_ranks(total) / num_labels, counts[0] / num_labels)
