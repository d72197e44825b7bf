"""Long recordings through an encoder window by window: attention costs the square of the length."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from transformers import PreTrainedModel

from hf_rspin.audio import FRAME_SHIFT, num_frames, num_samples
from hf_rspin.models.encoder import squeeze_of
from hf_rspin.units.group_norm import whole_statistics

WINDOW = 1500  # frames, 30 s; what is shorter is encoded whole
CONTEXT = 100  # frames, 2 s at least on either side; the positional convolution sees 64


def chunked_inference(
    function: Callable[[Tensor], Tensor],
    values: Tensor,
    axis: int,
    encoder: PreTrainedModel | None = None,
) -> Tensor:
    """Apply `function` to overlapping windows of 30 s and join the frames.

    All windows are 30 s long. They begin every 26 s, the last one so that it ends with the
    recording: where a window lies, but for the last, does not depend on what follows, so that a
    stream (see `stream`) gives the same.

    Args:
        function: (batch, samples) at 16 kHz -> the frames of the encoder along `axis`.
        values: (batch, samples) of any length.
        axis: of the frames in what `function` returns.
        encoder: which `function` calls: its group norm, if it has one, gets the statistics of the
            whole recording in every window.

    Returns:
        As many frames as `num_frames` says. What is too short for one output of an encoder that
        joins frames (SEW: two) gets zeros behind it, whose frames are taken away.
    """
    frames = num_frames(values.shape[-1])
    if encoder is not None and 0 < frames < (least := squeeze_of(encoder.config)):
        longer = torch.nn.functional.pad(values, (0, num_samples(least) - values.shape[-1]))
        with whole_statistics(encoder, values):
            return function(longer).narrow(axis, 0, frames)
    if frames <= WINDOW:
        return function(values)
    if encoder is not None:
        with whole_statistics(encoder, values):
            return chunked_inference(function, values, axis)
    parts = []
    for start, stop, first in _windows(frames):
        samples = slice(FRAME_SHIFT * first, FRAME_SHIFT * first + num_samples(WINDOW))
        parts.append(function(values[..., samples]).narrow(axis, start - first, stop - start))
    return torch.cat(parts, dim=axis)


def _windows(frames: int) -> Iterator[tuple[int, int, int]]:
    """Yield (start, stop) of the frames to keep and the first frame of the window around them."""
    start, end = 0, WINDOW
    while end < frames:
        yield start, end - CONTEXT, end - WINDOW
        start, end = end - CONTEXT, end + WINDOW - 2 * CONTEXT
    yield start, frames, frames - WINDOW
