"""Configurations of LASER and SCORE models: a speech encoder's config and the loss's fields.

`model_type` stays that of the encoder, so that the same folder loads as a plain encoder.
"""

# no postponed annotations here: @strict checks types, and cannot read them from strings
import math

from huggingface_hub.dataclasses import strict
from transformers import HubertConfig, WavLMConfig

from .configuration_heads import HeadsConfigMixin

# SCORE, by type of encoder: a frozen teacher, no regulariser, and the divergence over the frames.
SCORE_SETTINGS = {
    "hubert": {
        "frozen_teacher": True,
        "idm_weight": 0.0,
        "length_normalization": True,
        "projection_layers": 1,
    },
    "wavlm": {
        "frozen_teacher": True,
        "idm_weight": 0.0,
        "length_normalization": True,
        "projection_layers": 2,
    },
}


class LaserConfigMixin(HeadsConfigMixin):
    """The fields of the projection and of the loss, and the rules they obey.

    The defaults are those of LASER; `SCORE_SETTINGS` has the fields of SCORE.

    Attributes:
        projection_size: dimension of the normalised projections.
        projection_layers: linear layers of the projection, a ReLU between two: 1 or 2.
        soft_dtw_gamma: smoothing of soft-DTW, in units of the squared distance of unit vectors.
        idm_weight: alpha, the weight of Contrastive-IDM of both views; 0 switches it off.
        idm_margin: distance of unit vectors up to which frames repel each other, below 2.
        idm_sigma: frames up to this many apart attract each other; 0: none do.
        length_normalization: divide the divergence by the frames of both views.
        frozen_teacher: SCORE: one view is encoded by a frozen copy of the encoder.
    """

    head_field = "soft_dtw_gamma"

    def validate_laser(self) -> None:
        """Refuse what cannot be built or trained; called when a config is made."""
        _check_at_least("projection_size", self.projection_size, 1)
        _check_at_least("idm_sigma", self.idm_sigma, 0)
        if isinstance(self.projection_layers, bool) or self.projection_layers not in (1, 2):
            raise ValueError(
                f"projection_layers is {self.projection_layers}; expected 1 (Linear) or 2 "
                "(Linear, ReLU, Linear)."
            )
        if not (_is_number(self.soft_dtw_gamma) and self.soft_dtw_gamma > 0):
            raise ValueError(
                f"soft_dtw_gamma is {self.soft_dtw_gamma}; expected a positive, finite number."
            )
        if not (_is_number(self.idm_weight) and self.idm_weight >= 0):
            raise ValueError(
                f"idm_weight is {self.idm_weight}; expected a finite number of at least 0."
            )
        if not (_is_number(self.idm_margin) and 0 < self.idm_margin <= 2):
            raise ValueError(
                f"idm_margin is {self.idm_margin}; expected a number above 0 and up to 2, the "
                "largest distance of unit vectors."
            )

    def validate_layer_drop(self) -> None:
        """Refuse layer drop, which LASER trains without."""
        if self.layerdrop > 0:
            raise ValueError(
                f"layerdrop is {self.layerdrop}; expected 0: the two views must go through the "
                "same layers."
            )


def _check_at_least(name: str, value: int, least: int) -> None:
    if isinstance(value, bool) or value < least:
        raise ValueError(f"{name} is {value}; expected an integer of at least {least}.")


def _is_number(value: float) -> bool:
    return not isinstance(value, bool) and math.isfinite(value)


@strict
class LaserHubertConfig(LaserConfigMixin, HubertConfig):
    """HuBERT with a projection for LASER or SCORE; see `LaserConfigMixin` for the fields.

    Defaults that differ from `HubertConfig`: layerdrop 0 (0.1), apply_spec_augment False (True),
    activation_dropout 0 (0.1), feat_proj_dropout 0.1 (0).
    """

    model_type = "hubert"

    feat_proj_dropout: float | int = 0.1
    activation_dropout: float | int = 0.0
    layerdrop: float | int = 0.0
    apply_spec_augment: bool = False
    projection_size: int = 256
    projection_layers: int = 1
    soft_dtw_gamma: float | int = 0.1
    idm_weight: float | int = 0.4
    idm_margin: float | int = 1.1
    idm_sigma: int = 0
    length_normalization: bool = False
    frozen_teacher: bool = False


@strict
class LaserWavLMConfig(LaserConfigMixin, WavLMConfig):
    """WavLM with a projection for LASER or SCORE; see `LaserConfigMixin` for the fields.

    Defaults that differ from `WavLMConfig`: layerdrop 0 (0.1), apply_spec_augment False (True),
    activation_dropout 0 (0.1), feat_proj_dropout 0.1 (0). Those that differ from
    `LaserHubertConfig`: idm_weight 0.15, idm_margin 1.0.
    """

    model_type = "wavlm"

    feat_proj_dropout: float | int = 0.1
    activation_dropout: float | int = 0.0
    layerdrop: float | int = 0.0
    apply_spec_augment: bool = False
    projection_size: int = 256
    projection_layers: int = 1
    soft_dtw_gamma: float | int = 0.1
    idm_weight: float | int = 0.15
    idm_margin: float | int = 1.0
    idm_sigma: int = 0
    length_normalization: bool = False
    frozen_teacher: bool = False

    def validate_adapter(self) -> None:
        """Refuse the layers that wav2vec 2.0 may put on top for another frame rate."""
        if self.add_adapter:
            raise ValueError("add_adapter is True; expected False: adapters change the frame rate.")
