"""Soft-DTW and its divergence: compiled loops on a CPU, Triton on CUDA, PyTorch anywhere."""

from hf_rspin.losses.soft_dtw.divergence import soft_dtw, soft_dtw_divergence

__all__ = ["soft_dtw", "soft_dtw_divergence"]
