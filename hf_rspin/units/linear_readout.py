"""A linear layer that tells frame labels from features of an encoder, fitted on a sample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

UPDATES, BATCH_FRAMES, LEARNING_RATE = 400, 1024, 1e-2
CHUNK_FRAMES = 2048  # times the number of labels is in memory


@dataclass(frozen=True)
class LinearReadout:
    """Logits of labels: `weight @ (features - mean) / deviation + bias`.

    Attributes:
        weight: (labels, dim).
        bias: (labels,).
        mean: (dim,) of the features that it was fitted on.
        deviation: (dim,) likewise.
    """

    weight: Tensor
    bias: Tensor
    mean: Tensor
    deviation: Tensor

    def losses(self, features: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Return the cross-entropy of each frame in nats, (frames,) float32.

        Args:
            features: (frames, dim).
            labels: (frames,), 0 and above.
        """
        found = []
        targets = torch.from_numpy(np.asarray(labels, dtype=np.int64)).split(CHUNK_FRAMES)
        frames = torch.from_numpy(np.asarray(features, dtype=np.float32)).split(CHUNK_FRAMES)
        for part, target in zip(frames, targets, strict=True):
            part = ((part.to(self.mean.device) - self.mean) / self.deviation).float()
            logits = part @ self.weight.T + self.bias
            target = target.to(logits.device)
            found.append(nn.functional.cross_entropy(logits, target, reduction="none").cpu())
        return torch.cat(found).numpy()


def fit_readout(
    features: np.ndarray,
    labels: np.ndarray,
    num_labels: int,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> LinearReadout:
    """Fit softmax regression: Adam, 400 updates of 1,024 frames, a rate that falls to zero.

    It begins at zero weights and the logarithm of how often each label comes, on features of mean
    0 and variance 1. The generator of torch is left as it is.

    Args:
        features: (frames, dim), float16 or float32, at least one frame.
        labels: (frames,), 0 to `num_labels` - 1.
        num_labels: number of classes.
        seed: of the draws of frames.
        device: to compute on.
    """
    generator = np.random.default_rng(seed)
    mean = torch.from_numpy(features.mean(axis=0, dtype=np.float64)).float().to(device)
    deviation = torch.from_numpy(_deviation(features)).float().to(device)
    counts = np.bincount(labels, minlength=num_labels) + 1.0
    bias = torch.from_numpy(np.log(counts / counts.sum())).float().to(device).requires_grad_()
    weight = torch.zeros(num_labels, features.shape[1], device=device, requires_grad=True)
    optimizer = torch.optim.Adam([weight, bias], lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, UPDATES)
    for _ in range(UPDATES):
        drawn = generator.integers(0, len(labels), min(BATCH_FRAMES, len(labels)))
        part = torch.from_numpy(features[drawn].astype(np.float32)).to(device)
        target = torch.from_numpy(labels[drawn].astype(np.int64)).to(device)
        logits = (part - mean) / deviation @ weight.T + bias
        loss = nn.functional.cross_entropy(logits, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return LinearReadout(weight.detach(), bias.detach(), mean, deviation)


def _deviation(features: np.ndarray) -> np.ndarray:
    """Return the deviation (dim,) of each dimension, 1 for one that never changes."""
    found = features.std(axis=0, dtype=np.float64)
    found[found == 0] = 1
    return found
