"""Batches of sequences of unequal lengths: checks of what came in, and padding made harmless."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

# lengths of a batch: a tensor (batch,) of integers, a list of integers, or None for all frames
Lengths = Tensor | Sequence[int] | None


def check_sequences(name: str, sequences: Tensor) -> None:
    """Refuse what is no batch of sequences of real numbers.

    Raises:
        TypeError: not a tensor of floating-point numbers.
        ValueError: not (batch, frames, dim), or nothing in it.
    """
    if not isinstance(sequences, Tensor) or not sequences.is_floating_point():
        came = sequences.dtype if isinstance(sequences, Tensor) else type(sequences).__name__
        raise TypeError(f"{name} is {came}; expected a tensor of floats: call .float() first.")
    shape = tuple(sequences.shape)
    if len(shape) != 3:
        raise ValueError(
            f"{name} has shape {shape}; expected (batch, frames, dim): add a batch axis to a "
            "single sequence with x[None]."
        )
    if 0 in shape:
        raise ValueError(
            f"{name} has shape {shape}; expected at least one sequence, frame and dimension: "
            "drop empty sequences from the batch."
        )


def check_pair(x: Tensor, y: Tensor) -> None:
    """Refuse two batches of sequences that cannot be compared.

    Raises:
        TypeError: not tensors of floats, or different types.
        ValueError: wrong or different shapes, or different devices.
    """
    check_sequences("x", x)
    check_sequences("y", y)
    if x.shape[0] != y.shape[0] or x.shape[2] != y.shape[2]:
        raise ValueError(
            f"x and y have shapes {tuple(x.shape)} and {tuple(y.shape)}; expected the same batch "
            "and dim, (batch, frames, dim): only the numbers of frames may differ."
        )
    if x.dtype != y.dtype:
        raise TypeError(
            f"x is {x.dtype} and y is {y.dtype}; expected one type: convert one with .to()."
        )
    if x.device != y.device:
        raise ValueError(
            f"x is on {x.device} and y on {y.device}; expected one device: move one with .to()."
        )


def check_lengths(name: str, lengths: Lengths, batch: int, frames: int) -> list[int]:
    """Return the lengths in frames as a list, all `frames` if there are none.

    Raises:
        TypeError: lengths that are not integers.
        ValueError: another number of lengths than sequences, or a length outside of 1 to `frames`.
    """
    if lengths is None:
        return [frames] * batch
    given = lengths if isinstance(lengths, Tensor) else torch.as_tensor(lengths)
    if given.is_floating_point() or given.is_complex() or given.dtype == torch.bool:
        raise TypeError(
            f"{name} are {given.dtype}; expected integers, a count of frames: "
            "a mask has lengths mask.sum(1)."
        )
    if tuple(given.shape) != (batch,):
        raise ValueError(
            f"{name} have shape {tuple(given.shape)}; expected ({batch},), one per sequence."
        )
    found = [int(length) for length in given.tolist()]
    for item, length in enumerate(found):
        if not 1 <= length <= frames:
            raise ValueError(
                f"{name}[{item}] is {length}; expected 1 to {frames}, the frames of the tensor: "
                "drop empty sequences, and count frames, not samples."
            )
    return found


def zero_padding(sequences: Tensor, lengths: list[int]) -> Tensor:
    """Return (batch, frames, dim) with zeros beyond the lengths, itself if there is no padding."""
    frames = sequences.shape[1]
    if min(lengths) == frames:
        return sequences
    return sequences.masked_fill(~valid_frames(sequences, lengths)[:, :, None], 0)


def mean_of(sequences: Tensor, lengths: Sequence[int]) -> Tensor:
    """Return the mean over frames, (batch, 1, dim), of sequences whose padding is zero."""
    counts = torch.tensor(lengths, device=sequences.device)
    return sequences.sum(dim=1, keepdim=True) / counts[:, None, None]


def valid_frames(sequences: Tensor, lengths: list[int]) -> Tensor:
    """Return a mask (batch, frames), true within the lengths."""
    ends = torch.tensor(lengths, device=sequences.device)
    return torch.arange(sequences.shape[1], device=sequences.device) < ends[:, None]


def squared_norms(name: str, sequences: Tensor) -> Tensor:
    """Return squared L2 norms (batch, frames) of sequences whose padding is zero.

    Raises:
        ValueError: NaN, infinity, or numbers whose squares are too large for the type.
    """
    norms = torch.linalg.vecdot(sequences, sequences)
    # a comparison with NaN is false; the margin keeps sums of norms in the range as well
    bad = ~(norms < torch.finfo(norms.dtype).max / 16)
    if bad.any():
        item, frame = bad.nonzero()[0].tolist()
        raise ValueError(
            f"{name} holds NaN, infinity or numbers too large to be squared, first in sequence "
            f"{item}, frame {frame}; expected finite numbers: look at the audio and the learning "
            "rate of that step."
        )
    return norms


def refuse_second_derivative(name: str) -> None:
    """Refuse `create_graph=True` in a backward pass whose result would silently be a constant.

    Raises:
        RuntimeError: called with gradients enabled.
    """
    if torch.is_grad_enabled():
        raise RuntimeError(
            f"{name} was differentiated with create_graph=True; expected a first derivative only: "
            "take its gradient without create_graph, apart from losses that need it."
        )
