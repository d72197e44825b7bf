"""Long recordings through an encoder window by window: attention costs the square of the length."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from hf_rspin.audio import FRAME_SHIFT, num_frames, num_samples

WINDOW = 1500  # frames, 30 s; what is shorter is encoded whole
CONTEXT = 100  # frames, 2 s either side, encoded and left out; the positional convolution sees 64


def run_in_windows(function: Callable[[Tensor], Tensor], values: Tensor, axis: int) -> Tensor:
    """Apply `function` to overlapping windows of 30 s and join the frames.

    Args:
        function: (batch, samples) at 16 kHz -> the frames of the encoder along `axis`.
        values: (batch, samples) of any length.
        axis: of the frames in what `function` returns.

    Returns:
        As many frames as `function(values)` would give.
    """
    frames = num_frames(values.shape[-1])
    if frames <= WINDOW:
        return function(values)
    parts = []
    for start, stop, first, last in _windows(frames):
        samples = slice(FRAME_SHIFT * first, FRAME_SHIFT * first + num_samples(last - first))
        found = function(values[..., samples])
        parts.append(found.narrow(axis, start - first, stop - start))
    return torch.cat(parts, dim=axis)


def _windows(frames: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield (start, stop) of the frames to keep and (first, last) of those to encode."""
    step = WINDOW - 2 * CONTEXT
    for start in range(0, frames, step):
        stop = min(start + step, frames)
        yield start, stop, max(0, start - CONTEXT), min(frames, stop + CONTEXT)
