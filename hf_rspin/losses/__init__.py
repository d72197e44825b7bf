"""Losses: tensors in, named tensors out; they know no model, batch or log."""

from hf_rspin.losses.contrastive_idm import contrastive_idm
from hf_rspin.losses.laser import LaserLossOutput, laser_loss
from hf_rspin.losses.pseudo_labels import LabelLossOutput, label_loss
from hf_rspin.losses.sinkhorn import sinkhorn
from hf_rspin.losses.soft_dtw import soft_dtw, soft_dtw_divergence
from hf_rspin.losses.spin import SpinLossOutput, spin_loss

__all__ = [
    "LabelLossOutput",
    "LaserLossOutput",
    "SpinLossOutput",
    "contrastive_idm",
    "label_loss",
    "laser_loss",
    "sinkhorn",
    "soft_dtw",
    "soft_dtw_divergence",
    "spin_loss",
]
