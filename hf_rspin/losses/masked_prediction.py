"""Masked prediction of HuBERT: tell the cluster of a frame by its cosine to embeddings."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

TEMPERATURE = 0.1  # divides the cosines, as in the published HuBERT
IGNORED = -100  # label of frames that do not count


@dataclass
class MaskedPredictionLossOutput:
    """Means over the frames that count, each a scalar.

    Attributes:
        loss: cross-entropy.
        accuracy: share of frames whose nearest embedding is that of their label; no gradient.
    """

    loss: Tensor
    accuracy: Tensor


def masked_prediction_loss(
    predictions: Tensor, embeddings: Tensor, labels: Tensor
) -> MaskedPredictionLossOutput:
    """Return the cross-entropy of frames with their clusters (HuBERT, arXiv 2106.07447, Eq. 3).

    Logits are cosines to one embedding per cluster, divided by 0.1. DiceHuBERT is the same with
    the k-means units of a teacher as labels.

    Args:
        predictions: (frames, dim), of the frames to be told.
        embeddings: (clusters, dim).
        labels: (frames,) long; -100 where a frame does not count.

    Example:
        >>> eye = torch.eye(2)
        >>> masked_prediction_loss(eye, eye, torch.tensor([0, 1])).accuracy
        tensor(1.)
    """
    with torch.autocast(predictions.device.type, enabled=False):
        wide = torch.promote_types(predictions.dtype, torch.float32)
        logits = functional.linear(
            functional.normalize(predictions.to(wide), dim=-1),
            functional.normalize(embeddings.to(wide), dim=-1),
        )  # (frames, clusters)
        counts = labels != IGNORED
        number = counts.sum().clamp_min(1)
        total = functional.cross_entropy(
            logits / TEMPERATURE, labels, ignore_index=IGNORED, reduction="sum"
        )
        right = ((logits.argmax(dim=-1) == labels) & counts).sum() / number
    return MaskedPredictionLossOutput(total / number, right.to(wide).detach())
