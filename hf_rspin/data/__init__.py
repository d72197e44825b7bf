"""Corpora, two-view examples, and batches by duration."""

from hf_rspin.data.collator import BatchInfo, TwoViewCollator
from hf_rspin.data.corpus import load_corpus
from hf_rspin.data.dataset import SkippedExample, TwoViewDataset, TwoViewExample
from hf_rspin.data.sampler import DurationBatchSampler

__all__ = [
    "BatchInfo",
    "DurationBatchSampler",
    "SkippedExample",
    "TwoViewCollator",
    "TwoViewDataset",
    "TwoViewExample",
    "load_corpus",
]
