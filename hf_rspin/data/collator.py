"""Pad two views and their frame labels into one batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from hf_rspin.audio import SAMPLING_RATE, normalize_waveforms, num_frames
from hf_rspin.data.dataset import TwoViewExample
from hf_rspin.data.skipped import SkippedFile

IGNORED_LABEL = -100


@dataclass
class BatchInfo:
    """What a batch holds beside the tensors of the model; `TwoViewTrainer` takes it out.

    Attributes:
        seconds: speech in one view, without padding.
        num_unperturbed: examples whose voice could not be changed (unvoiced, silent, too short).
        skipped: files that could not be used, with the reason.
    """

    seconds: float
    num_unperturbed: int = 0
    skipped: list[SkippedFile] = field(default_factory=list)


class TwoViewCollator:
    """Pad examples of `TwoViewDataset` with zeros to the longest of the batch.

    Returns `input_values` and `perturbed_input_values` (batch, samples) float32, `attention_mask`
    and `perturbed_attention_mask` (batch, samples) int64, `labels` (batch, frames) int64 with -100
    on padding where the examples have labels, and `batch_info`.

    Args:
        do_normalize: give every waveform zero mean and unit variance, as the saved feature
            extractor does where its `do_normalize` is true (large models; false for base ones).
    """

    def __init__(self, do_normalize: bool = False):
        self.do_normalize = do_normalize

    def __call__(self, items: Sequence[TwoViewExample | SkippedFile]) -> dict:
        """Collate one batch."""
        skipped = [item for item in items if isinstance(item, SkippedFile)]
        examples = [item for item in items if not isinstance(item, SkippedFile)]
        input_values, attention_mask = self._pad([example.clean for example in examples])
        perturbed, perturbed_mask = self._pad([example.perturbed for example in examples])
        batch = {
            "input_values": input_values,
            "attention_mask": attention_mask,
            "perturbed_input_values": perturbed,
            "perturbed_attention_mask": perturbed_mask,
        }
        if examples[0].labels is not None:
            batch["labels"] = _pad_labels(examples, input_values.shape[1])
        batch["batch_info"] = BatchInfo(
            seconds=sum(len(example.clean) for example in examples) / SAMPLING_RATE,
            num_unperturbed=sum(example.voice_skipped for example in examples),
            skipped=skipped,
        )
        return batch

    def _pad(self, waveforms: Sequence[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
        longest = max(len(waveform) for waveform in waveforms)
        values = torch.zeros(len(waveforms), longest)
        mask = torch.zeros(len(waveforms), longest, dtype=torch.long)
        for row, waveform in enumerate(waveforms):
            if self.do_normalize:
                waveform = normalize_waveforms(waveform)
            values[row, : len(waveform)] = torch.from_numpy(np.ascontiguousarray(waveform))
            mask[row, : len(waveform)] = 1
        return values, mask


def _pad_labels(examples: Sequence[TwoViewExample], longest: int) -> torch.Tensor:
    labels = torch.full((len(examples), num_frames(longest)), IGNORED_LABEL)
    for row, example in enumerate(examples):
        labels[row, : len(example.labels)] = torch.from_numpy(example.labels)
    return labels
