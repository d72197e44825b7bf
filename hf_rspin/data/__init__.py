"""Corpora, two-view examples, and batches by duration."""

from hf_rspin.data.collator import TwoViewCollator
from hf_rspin.data.corpus import load_corpus
from hf_rspin.data.dataset import TwoViewDataset
from hf_rspin.data.samplers import DurationBatchSampler, PairBatchSampler
from hf_rspin.data.skipped import SkippedFile, SkippedFiles

__all__ = [
    "DurationBatchSampler",
    "PairBatchSampler",
    "SkippedFiles",
    "SkippedFile",
    "TwoViewCollator",
    "TwoViewDataset",
    "load_corpus",
]
