"""Where the frames of an encoder lie, and features brought from the frames of one to another's.

The one place that converts frame rates and offsets between a teacher and a student.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class FrameGrid:
    """Frames at even distances: the centre of frame i is at sample `offset + shift * i`.

    Attributes:
        shift: samples at 16 kHz from one frame to the next.
        offset: samples from the start of the waveform to the centre of frame 0.
    """

    shift: float = 320.0
    offset: float = 200.0


ENCODER_FRAMES = FrameGrid()  # frame i covers samples 320 i to 320 i + 399
WHISPER_FRAMES = FrameGrid(offset=0.0)  # frame j is centred at sample 320 j


def between_frames(features: Tensor, source: FrameGrid, target: FrameGrid, count: int) -> Tensor:
    """Return features at the frames of another grid: linear between two frames of their own.

    Beyond the first and the last frame the nearest one stands in. From Whisper's frames W to
    HuBERT's, frame i becomes 0.375 W[i] + 0.625 W[i+1].

    Args:
        features: (frames, ...) of one waveform, at least one frame.
        source: the frames of `features`.
        target: the frames to return.
        count: how many of them.

    Returns:
        (count, ...) of the dtype of `features`.
    """
    if source == target and len(features) >= count:
        return features[:count]
    places = (target.offset - source.offset + target.shift * torch.arange(count)) / source.shift
    places = places.clamp(0, len(features) - 1).to(features.device)
    first = places.floor().long().clamp(max=max(len(features) - 2, 0))
    second = (first + 1).clamp(max=len(features) - 1)
    weight = (places - first).to(features.dtype).reshape(-1, *[1] * (features.dim() - 1))
    return features[first] * (1 - weight) + features[second] * weight
