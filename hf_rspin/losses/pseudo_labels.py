"""Cross-entropy of pseudo-labels, the auxiliary loss of R-Spin (Equation 2, arXiv 2311.09117)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from hf_rspin.losses.distributed import all_reduce_with_grad, reduce_sum_


class LabelLossOutput(NamedTuple):
    """Cross-entropy and accuracy over the labelled frames of all ranks; scalar tensors."""

    loss: Tensor
    accuracy: Tensor


def label_loss(logits: Tensor, labels: Tensor) -> LabelLossOutput:
    """Average cross-entropy over labelled frames (R-Spin, Equation 2).

    In a distributed run the mean runs over the frames of all ranks; see `distributed`.

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
    return LabelLossOutput(all_reduce_with_grad(total) / num_labels, counts[0] / num_labels)
