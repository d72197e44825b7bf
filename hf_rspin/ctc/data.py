"""Utterances with their labels, and their padded batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import datasets
import numpy as np
import torch

from hf_rspin.audio import SAMPLING_RATE
from hf_rspin.data.collator import IGNORED_LABEL, BatchInfo, TwoViewCollator
from hf_rspin.data.dataset import TwoViewDataset
from hf_rspin.data.skipped import SkippedFile, SkippedFiles


@dataclass
class CtcExample:
    """A whole utterance (samples,) float32 at 16 kHz, and its labels (tokens,) int64."""

    waveform: np.ndarray
    labels: np.ndarray


class CtcDataset(TwoViewDataset):
    """Whole utterances and their labels, indexed by `(epoch, index)`.

    Reads, checks and skips as `TwoViewDataset`, but makes no views and crops nothing.

    Args:
        corpus: see `load_corpus`.
        labels: token ids of each row.
        strict: raise on a bad file in a batch too.
        skipped: files left out so far.
    """

    def __init__(
        self,
        corpus: datasets.Dataset,
        labels: Sequence[Sequence[int]],
        strict: bool = False,
        skipped: SkippedFiles | None = None,
    ):
        super().__init__(
            corpus, views=None, min_seconds=0.0, max_seconds=float("inf"), strict=strict,
            skipped=skipped,
        )  # fmt: skip
        self.labels = [np.asarray(row, dtype=np.int64) for row in labels]
        if len(self.labels) != len(corpus):
            raise ValueError(
                f"got {len(self.labels)} rows of labels for {len(corpus)} utterances; expected "
                "one for each, in the same order."
            )

    def _example(
        self, key: tuple[int, int], row: dict, waveform: np.ndarray, labels: None
    ) -> CtcExample:
        return CtcExample(waveform, self.labels[int(key[1])])


class CtcCollator(TwoViewCollator):
    """Pad examples of `CtcDataset` to the longest of the batch.

    Returns `input_values` (batch, samples) float32, `attention_mask` (batch, samples) int64,
    `labels` (batch, tokens) int64 with -100 on padding, and `batch_info`.

    Args:
        do_normalize: give every waveform zero mean and unit variance.
    """

    def __call__(self, items: Sequence[CtcExample | SkippedFile]) -> dict:
        """Collate one batch."""
        examples = [item for item in items if not isinstance(item, SkippedFile)]
        input_values, attention_mask = self._pad([example.waveform for example in examples])
        longest = max(len(example.labels) for example in examples)
        labels = torch.full((len(examples), longest), IGNORED_LABEL)
        for row, example in enumerate(examples):
            labels[row, : len(example.labels)] = torch.from_numpy(example.labels)
        info = BatchInfo(
            seconds=sum(len(example.waveform) for example in examples) / SAMPLING_RATE,
            skipped=[item for item in items if isinstance(item, SkippedFile)],
        )
        return {
            "input_values": input_values,
            "attention_mask": attention_mask,
            "labels": labels,
            "batch_info": info,
        }
