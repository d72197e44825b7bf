"""Soft-DTW (arXiv 1703.01541) and its divergence (arXiv 2010.08354).

The implementation lies beside the models, because a model saved for the Hub must hold all of
its maths in one flat folder; this module is its place in the list of losses.
"""

from hf_rspin.models.soft_dtw import soft_dtw, soft_dtw_divergence

__all__ = ["soft_dtw", "soft_dtw_divergence"]
