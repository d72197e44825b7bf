"""READ's side network: a recurrent net over the layers of each frame (arXiv 2305.15348)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class SideNetwork(nn.Module):
    """What READ adds to the output of a frozen encoder.

    Per frame, x_l = Norm(h_l) and s_l = GRU(x_l, s_{l-1}) over the layers l = 0 ... L, with zero
    before the first; the correction is W s + b, with s the mean over the layers, or the last. W and
    b start at zero, so that training starts from the encoder as it is.

    Args:
        dim: size D of the hidden states.
        width: size of the recurrent state s.
        reduction: "mean" or "last".
    """

    def __init__(self, dim: int, width: int, reduction: str = "mean"):
        super().__init__()
        self.reduction = reduction
        self.norm = nn.LayerNorm(dim)
        self.recurrence = nn.GRU(dim, width)
        self.output = nn.Linear(width, dim)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, layers: Sequence[Tensor]) -> Tensor:
        """Return the correction (batch, frames, dim) of L + 1 states (batch, frames, dim)."""
        batch, frames, dim = layers[0].shape
        states = torch.stack(tuple(layers)).flatten(1, 2)  # (layers, batch * frames, dim)
        # an encoder stored in half precision has a side network in single precision
        states, last = self.recurrence(self.norm(states.to(self.norm.weight.dtype)))
        summary = states.mean(dim=0) if self.reduction == "mean" else last[0]
        return self.output(summary).view(batch, frames, dim).to(layers[0].dtype)
