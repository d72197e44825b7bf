"""Models: any speech encoder with the heads of an objective."""

from typing import Any

from hf_rspin.models import backbones as backbones  # known to AutoModel from here on
from hf_rspin.models import configuration
from hf_rspin.models.attention import WavLMSdpaAttention, use_sdpa_attention
from hf_rspin.models.laser_fields import SCORE_SETTINGS, LaserFields
from hf_rspin.models.loading import load_encoder
from hf_rspin.models.modeling_distillation import DistillationModel, DistillationOutput
from hf_rspin.models.modeling_laser import LaserModel, LaserOutput
from hf_rspin.models.modeling_masked_prediction import (
    MaskedPredictionModel,
    MaskedPredictionOutput,
)
from hf_rspin.models.modeling_rspin_laser import RSpinLaserModel, RSpinLaserOutput
from hf_rspin.models.modeling_spin import RSpinModel, RSpinOutput
from hf_rspin.models.named import (
    LaserHubertModel,
    LaserWavLMModel,
    RSpinHubertModel,
    RSpinWavLMModel,
)
from hf_rspin.models.rspin_laser_fields import RSpinLaserFields
from hf_rspin.models.spin_fields import SpinFields

__all__ = [
    "SCORE_SETTINGS",
    "DistillationModel",
    "DistillationOutput",
    "LaserFields",
    "LaserHubertModel",
    "LaserModel",
    "LaserOutput",
    "LaserWavLMModel",
    "MaskedPredictionModel",
    "MaskedPredictionOutput",
    "RSpinHubertModel",
    "RSpinLaserFields",
    "RSpinLaserModel",
    "RSpinLaserOutput",
    "RSpinModel",
    "RSpinOutput",
    "RSpinWavLMModel",
    "SpinFields",
    "WavLMSdpaAttention",
    "load_encoder",
    "use_sdpa_attention",
]


def __getattr__(name: str) -> Any:
    """Return a config class by its name, such as `RSpinHubertConfig`; see `configuration`."""
    return getattr(configuration, name)
