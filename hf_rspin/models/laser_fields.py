"""The fields that LASER and SCORE add to the config of an encoder."""

# no postponed annotations here: @strict checks types, and cannot read them from strings
from dataclasses import dataclass
from typing import ClassVar

from hf_rspin.losses.laser import ALIGNMENTS
from hf_rspin.models.configuration import HeadFields, check_count, check_number, is_number
from hf_rspin.models.encoder import FAMILIES


@dataclass(kw_only=True)
class LaserFields(HeadFields):
    """The fields of the projection and of the loss, and the rules they obey.

    The defaults are those of LASER for HuBERT; WavLM's differ in idm_weight 0.15 and idm_margin
    1.0. `SCORE_SETTINGS` has the fields of SCORE.

    Attributes:
        projection_size: dimension of the normalised projections.
        projection_layers: linear layers of the projection, a ReLU between two: 1 or 2.
        soft_dtw_gamma: smoothing of soft-DTW, in units of the squared distance of unit vectors.
        idm_weight: alpha, the weight of Contrastive-IDM of both views; 0 switches it off.
        idm_margin: distance of unit vectors up to which frames repel each other, below 2.
        idm_sigma: frames up to this many apart attract each other; 0: none do.
        length_normalization: divide the divergence by the frames of both views.
        alignment: soft_dtw, or frames: frame t of one view with frame t of the other, for views at
            the same speed.
        frozen_teacher: SCORE: one view is encoded by a frozen copy of the encoder.
    """

    head_field: ClassVar[str] = "soft_dtw_gamma"
    prefix: ClassVar[str] = "Laser"
    family_defaults: ClassVar[dict] = {"wavlm": {"idm_weight": 0.15, "idm_margin": 1.0}}

    projection_size: int = 256
    projection_layers: int = 1
    soft_dtw_gamma: float | int = 0.1
    idm_weight: float | int = 0.4
    idm_margin: float | int = 1.1
    idm_sigma: int = 0
    length_normalization: bool = False
    alignment: str = "soft_dtw"
    frozen_teacher: bool = False

    @property
    def objective(self) -> str:
        """Name of the method: SCORE with a frozen teacher, else LASER."""
        return "SCORE" if self.frozen_teacher else "LASER"

    def validate_laser(self) -> None:
        """Refuse what cannot be built or trained; called when a config is made."""
        check_count("projection_size", self.projection_size)
        check_count("idm_sigma", self.idm_sigma, least=0)
        if isinstance(self.projection_layers, bool) or self.projection_layers not in (1, 2):
            raise ValueError(
                f"projection_layers is {self.projection_layers}; expected 1 (Linear) or 2 "
                "(Linear, ReLU, Linear)."
            )
        if self.alignment not in ALIGNMENTS:
            raise ValueError(
                f"alignment is {self.alignment!r}; expected one of {', '.join(ALIGNMENTS)}."
            )
        check_number("soft_dtw_gamma", self.soft_dtw_gamma, allow_zero=False)
        check_number("idm_weight", self.idm_weight, allow_zero=True)
        if not (is_number(self.idm_margin) and 0 < self.idm_margin <= 2):
            raise ValueError(
                f"idm_margin is {self.idm_margin}; expected a number above 0 and up to 2, the "
                "largest distance of unit vectors."
            )

    def validate_layer_drop(self) -> None:
        """Refuse layer drop, which LASER trains without."""
        if getattr(self, "layerdrop", 0) > 0:
            raise ValueError(
                f"layerdrop is {self.layerdrop}; expected 0: the two views must go through the "
                "same layers."
            )


_SCORE = {
    "frozen_teacher": True,
    "idm_weight": 0.0,
    "length_normalization": True,
    "projection_layers": 1,
}
# SCORE, by type of encoder: a frozen teacher, no regulariser, and the divergence over the frames.
SCORE_SETTINGS = dict.fromkeys(FAMILIES, _SCORE) | {"wavlm": _SCORE | {"projection_layers": 2}}
