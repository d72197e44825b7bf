"""Encoders with heads. FLAT: these files travel to the Hub and import siblings by name only."""

from .configuration_rspin import RSpinHubertConfig, RSpinWavLMConfig
from .modeling_rspin import RSpinHubertModel, RSpinOutput, RSpinWavLMModel
from .wavlm_attention import WavLMSdpaAttention, use_sdpa_attention

__all__ = [
    "RSpinHubertConfig",
    "RSpinHubertModel",
    "RSpinOutput",
    "RSpinWavLMConfig",
    "RSpinWavLMModel",
    "WavLMSdpaAttention",
    "use_sdpa_attention",
]
