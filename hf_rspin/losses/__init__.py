"""Losses: tensors in, named tensors out; they know no model, batch or log."""

from hf_rspin.losses.sinkhorn import sinkhorn
from hf_rspin.losses.spin import SpinLossOutput, spin_loss

__all__ = ["SpinLossOutput", "sinkhorn", "spin_loss"]
