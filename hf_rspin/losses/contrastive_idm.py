"""Contrastive-IDM, the regulariser of LASER.

The implementation lies beside the models, because a model saved for the Hub must hold all of
its maths in one flat folder; this module is its place in the list of losses.
"""

from hf_rspin.models.contrastive_idm import contrastive_idm

__all__ = ["contrastive_idm"]
