"""The losses of LASER and SCORE.

The implementation lies beside the models, because a model saved for the Hub must hold all of
its maths in one flat folder; this module is its place in the list of losses.
"""

from hf_rspin.models.laser_objective import LaserLossOutput, laser_loss

__all__ = ["LaserLossOutput", "laser_loss"]
