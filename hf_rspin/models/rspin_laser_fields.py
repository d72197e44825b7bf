"""The fields that R-Spin and LASER in one objective add to the config of an encoder."""

# no postponed annotations here: @strict checks types, and cannot read them from strings
from dataclasses import dataclass
from typing import ClassVar

from hf_rspin.models.configuration import check_number
from hf_rspin.models.laser_fields import LaserFields
from hf_rspin.models.spin_fields import SpinFields


@dataclass(kw_only=True)
class RSpinLaserFields(SpinFields, LaserFields):
    """The fields of R-Spin and of LASER, and the weight of LASER's loss beside R-Spin's.

    Attributes:
        laser_weight: of the loss of LASER; 0 switches it off. LASER's loss grows with the frames
            (its divergence) and with their square (its regulariser), R-Spin's are means over
            frames: with the default, our own, both give an encoder of 6 layers gradients of the
            same size on 2 to 6 s of speech. Less for longer speech.
    """

    head_field: ClassVar[str] = "laser_weight"
    prefix: ClassVar[str] = "RSpinLaser"

    laser_weight: float | int = 0.01

    @property
    def objective(self) -> str:
        """Name of the method."""
        return "R-Spin-LASER"

    @property
    def loss_weights(self) -> dict[str, float]:
        """The weights of the losses that are on, by the name of each in the model's output."""
        weights = super().loss_weights
        return weights | ({"laser_loss": self.laser_weight} if self.laser_weight > 0 else {})

    def validate_rspin_laser(self) -> None:
        """Refuse what cannot be trained; called when a config is made."""
        check_number("laser_weight", self.laser_weight, allow_zero=True)
        if self.frozen_teacher:
            raise ValueError(
                "frozen_teacher is True; expected False: beside R-Spin both views go through the "
                "encoder that trains. For SCORE use its own objective."
            )
