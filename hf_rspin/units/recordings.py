"""Waveforms of any lengths through an encoder, each as if it were alone."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from hf_rspin.audio import SAMPLING_RATE, normalize_waveforms, num_frames
from hf_rspin.models.encoder import averages_over_time, mixes_padding
from hf_rspin.units import windows
from hf_rspin.units.group_norm import first_convolution, whole_statistics
from hf_rspin.units.windows import chunked_inference

LONGEST = 1.15  # of the utterances of a batch with padding, over the shortest

# (batch, samples) and an attention mask alike or None -> (batch, frames, dim)
Encode = Callable[[Tensor, Tensor | None], Tensor]


def can_pad(encoder: PreTrainedModel) -> bool:
    """Say whether a padded batch gives what each of its utterances gives alone."""
    if mixes_padding(encoder.config):
        return False
    # a group norm of the first convolution would see the padding, unless its statistics are given
    return not averages_over_time(encoder.config) or first_convolution(encoder)[0] is not None


def similar_batches(
    waveforms: dict[int, np.ndarray], batch_seconds: float, pads: bool = False
) -> Iterator[dict[int, np.ndarray]]:
    """Group waveforms (samples,) by row into batches of at most `batch_seconds` with padding.

    Args:
        waveforms: by row.
        batch_seconds: audio per batch; longer utterances are a batch of their own.
        pads: similar lengths may share a batch, but for those that are encoded in windows.
    """
    batch: dict[int, np.ndarray] = {}
    for row in sorted(waveforms, key=lambda row: len(waveforms[row])):
        length = len(waveforms[row])
        shortest = len(next(iter(batch.values()))) if batch else length
        padded = pads and length < LONGEST * shortest and num_frames(length) <= windows.WINDOW
        too_much = (len(batch) + 1) * length > batch_seconds * SAMPLING_RATE
        if batch and (too_much or not (padded or length == shortest)):
            yield batch
            batch = {}
        batch[row] = waveforms[row]
    if batch:
        yield batch


@torch.inference_mode()
def encode_recordings(
    model: PreTrainedModel,
    encode: Encode,
    waveforms: Sequence[np.ndarray],
    normalize: bool = False,
    bf16: bool = False,
) -> list[Tensor]:
    """Return the frames (frames, dim), float32 on the CPU, of waveforms (samples,) at 16 kHz.

    The model works in eval mode, and is left in the mode in which it came.

    Args:
        model: on the device to use.
        encode: calls the model.
        waveforms: each at least one frame long; of equal lengths where `can_pad` says no, or where
            they are above 30 s.
        normalize: give each mean 0 and variance 1.
        bf16: run under bfloat16 autocast.

    Raises:
        ValueError: the model gives values that are not finite.
    """
    device = next(model.parameters()).device
    rows = [torch.from_numpy(np.ascontiguousarray(wave, np.float32)) for wave in waveforms]
    rows = [normalize_waveforms(row) for row in rows] if normalize else rows
    lengths = torch.tensor([len(row) for row in rows])
    values = nn.utils.rnn.pad_sequence(rows, batch_first=True).to(device)  # (batch, samples)
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=bf16)
    with evaluating(model), autocast:
        if (lengths == lengths[0]).all():
            found = chunked_inference(lambda part: encode(part, None), values, 1, model)
        else:
            mask = (torch.arange(values.shape[1]) < lengths[:, None]).long().to(device)
            with whole_statistics(model, values, lengths):
                found = encode(values, mask)
    found = found.float().cpu()
    frames = [found[row, : num_frames(int(length))] for row, length in enumerate(lengths)]
    if not all(torch.isfinite(one).all() for one in frames):
        raise ValueError(
            f"the model {model.config.name_or_path or type(model).__name__} gives NaN or infinite "
            "values; expected finite ones: its weights are damaged, or bfloat16 is too coarse."
        )
    return frames


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model into eval mode for a while; every module goes back to its own mode."""
    training = [module for module in model.modules() if module.training]
    if training:
        model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
