"""Sinkhorn-Knopp assignments of frames to codes.

The implementation lies beside the models, because a model saved for the Hub must hold all of
its maths in one flat folder; this module is its place in the list of losses.
"""

from hf_rspin.models.sinkhorn import sinkhorn

__all__ = ["sinkhorn"]
