"""The Spin loss: Equation 1 of R-Spin (arXiv 2311.09117).

The implementation lies beside the models, because a model saved for the Hub must hold all of
its maths in one flat folder; this module is its place in the list of losses.
"""

from hf_rspin.models.spin_objective import SpinLossOutput, spin_loss

__all__ = ["SpinLossOutput", "spin_loss"]
