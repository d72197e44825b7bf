"""Encoders with heads. FLAT: these files travel to the Hub and import siblings by name only."""

from .configuration_laser import SCORE_SETTINGS, LaserHubertConfig, LaserWavLMConfig
from .configuration_rspin import RSpinHubertConfig, RSpinWavLMConfig
from .laser_output import LaserOutput
from .modeling_laser import LaserHubertModel, LaserWavLMModel
from .modeling_rspin import RSpinHubertModel, RSpinOutput, RSpinWavLMModel
from .wavlm_attention import WavLMSdpaAttention, use_sdpa_attention

__all__ = [
    "SCORE_SETTINGS",
    "LaserHubertConfig",
    "LaserHubertModel",
    "LaserOutput",
    "LaserWavLMConfig",
    "LaserWavLMModel",
    "RSpinHubertConfig",
    "RSpinHubertModel",
    "RSpinOutput",
    "RSpinWavLMConfig",
    "RSpinWavLMModel",
    "WavLMSdpaAttention",
    "use_sdpa_attention",
]
