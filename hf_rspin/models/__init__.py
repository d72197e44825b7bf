"""Models: any speech encoder with the heads of an objective."""

from typing import Any

from hf_rspin.models import configuration
from hf_rspin.models.configuration import SCORE_SETTINGS, LaserFields, SpinFields
from hf_rspin.models.loading import load_encoder
from hf_rspin.models.modeling_laser import LaserModel, LaserOutput
from hf_rspin.models.modeling_spin import RSpinModel, RSpinOutput
from hf_rspin.models.named import (
    LaserHubertModel,
    LaserWavLMModel,
    RSpinHubertModel,
    RSpinWavLMModel,
)
from hf_rspin.models.wavlm_attention import WavLMSdpaAttention, use_sdpa_attention

__all__ = [
    "SCORE_SETTINGS",
    "LaserFields",
    "LaserHubertModel",
    "LaserModel",
    "LaserOutput",
    "LaserWavLMModel",
    "RSpinHubertModel",
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
