"""Losses: tensors in, named tensors out; they know no model, batch or log."""

from hf_rspin.losses.contrastive_idm import contrastive_idm
from hf_rspin.losses.frame_distance import frame_distance
from hf_rspin.losses.laser import LaserLossOutput, laser_loss
from hf_rspin.losses.pseudo_labels import LabelLossOutput, label_loss
from hf_rspin.losses.sinkhorn import sinkhorn
from hf_rspin.losses.soft_dtw import soft_dtw, soft_dtw_divergence
from hf_rspin.losses.spin import SpinLossOutput, spin_loss
from hf_rspin.losses.variance_invariance_covariance import (
    covariance_loss,
    invariance_loss,
    variance_loss,
)

__all__ = [
    "LabelLossOutput",
    "LaserLossOutput",
    "SpinLossOutput",
    "contrastive_idm",
    "covariance_loss",
    "frame_distance",
    "invariance_loss",
    "label_loss",
    "laser_loss",
    "sinkhorn",
    "soft_dtw",
    "soft_dtw_divergence",
    "spin_loss",
    "variance_loss",
]
