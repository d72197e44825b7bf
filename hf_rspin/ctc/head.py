"""Where a CTC head starts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

BLANK = 0


def class_prior(
    labels: Sequence[Sequence[int]], num_classes: int, num_frames: float
) -> np.ndarray:
    """Return how often each class comes (classes,), were each token said in a single frame.

    Args:
        labels: token ids of every utterance.
        num_classes: with the blank, which is class 0.
        num_frames: of all utterances together.
    """
    tokens = np.concatenate([np.asarray(row, dtype=np.int64) for row in labels])
    counts = np.bincount(tokens, minlength=num_classes) + 0.5  # also of what never occurs
    counts[BLANK] = max(num_frames - len(tokens), 1.0)
    return counts / counts.sum()


@torch.no_grad()
def init_bias_from_prior(head: nn.Linear, prior: np.ndarray) -> None:
    """Give a fresh head the bias with which it predicts `prior` (classes,); a trained one stays.

    A head that starts at equal probabilities first learns that nearly all frames are blank. The
    gradient of that is large and the same in all frames: it moves the encoder to where its frames
    are alike, from which a small one finds back only after hundreds of updates.
    """
    if not head.bias.any():
        head.bias.copy_(torch.from_numpy(np.log(prior)))
