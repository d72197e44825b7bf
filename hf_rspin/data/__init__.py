"""Corpora, two-view examples, and batches by duration."""

from hf_rspin.data.collator import BatchInfo, TwoViewCollator
from hf_rspin.data.corpus import load_corpus
from hf_rspin.data.dataset import TwoViewDataset, TwoViewExample
from hf_rspin.data.samplers import DurationBatchSampler, PairBatchSampler
from hf_rspin.data.skipped import SkippedFile, SkippedFiles

__all__ = [
    "BatchInfo",
    "DurationBatchSampler",
    "PairBatchSampler",
    "SkippedFiles",
    "SkippedFile",
    "TwoViewCollator",
    "TwoViewDataset",
    "TwoViewExample",
    "load_corpus",
]
