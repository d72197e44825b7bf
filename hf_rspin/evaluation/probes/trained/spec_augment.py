"""SpecAugment on features: time is warped, and some frames and dimensions are hidden."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate


@dataclass(frozen=True)
class SpecAugment:
    """SUPERB's augmentation of the weighted features of speech recognition (1904.08779).

    Every utterance gets its own draws. Widths are bounded, so that short utterances and small
    features keep at least half of their frames and half of their dimensions: 40 frames from 160
    on, 50 dimensions from 400 on.

    Args:
        time_warp: frames that a point of the utterance moves at most, to either side.
        time_masks: number of spans of frames set to zero.
        time_width: frames of each at most.
        feature_masks: number of spans of dimensions set to zero.
        feature_width: dimensions of each at most.
    """

    time_warp: int = 5
    time_masks: int = 2
    time_width: int = 40
    feature_masks: int = 4
    feature_width: int = 50

    def __call__(self, frames: Tensor, lengths: Sequence[int], rng: np.random.Generator) -> Tensor:
        """(all frames, dim) -> the same shape; utterance after utterance, `lengths` frames each."""
        return torch.cat([self._one(part, rng) for part in frames.split(list(lengths))])

    def _one(self, frames: Tensor, rng: np.random.Generator) -> Tensor:
        frames = warp_time(frames, self.time_warp, rng)
        length, dim = frames.shape
        seen = _spans(length, self.time_masks, self.time_width, rng)[:, None]
        seen = seen * _spans(dim, self.feature_masks, self.feature_width, rng)[None]
        return frames * torch.from_numpy(seen).to(frames)


def warp_time(frames: Tensor, most: int, rng: np.random.Generator) -> Tensor:
    """Move a random point of (frames, dim) by up to `most` frames; both sides are resampled."""
    length = len(frames)
    if most < 1 or length < 2 * most + 2:
        return frames
    place = int(rng.integers(most + 1, length - most))
    moved = place + int(rng.integers(-most, most + 1))
    sides = (frames[:place], moved), (frames[place:], length - moved)
    return torch.cat([
        interpolate(part.T[None], size=size, mode="linear", align_corners=False)[0].T
        for part, size in sides
    ])  # fmt: skip


def _spans(size: int, count: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Return 0 in `count` random spans, 1 elsewhere (size,); at most half are 0."""
    seen = np.ones(size, dtype=np.float32)
    for _ in range(count):
        hidden = int(rng.integers(0, min(width, size // (2 * count)) + 1))
        start = int(rng.integers(0, size - hidden + 1))
        seen[start : start + hidden] = 0
    return seen
