"""Models: any speech encoder with the heads of an objective."""

from hf_rspin.models.attention import WavLMSdpaAttention, use_sdpa_attention
from hf_rspin.models.configuration import CONFIG_CLASSES, SCORE_SETTINGS, LaserFields, SpinFields
from hf_rspin.models.modeling_laser import LaserModel, LaserOutput
from hf_rspin.models.modeling_spin import RSpinModel, RSpinOutput
from hf_rspin.models.named import (
    LaserHubertModel,
    LaserWavLMModel,
    RSpinHubertModel,
    RSpinWavLMModel,
)

# RSpinHubertConfig, LaserWavLMConfig, RSpinSEWDConfig, ...: one for every family and objective
_CONFIGS = {made.__name__: made for made in CONFIG_CLASSES.values()}
globals().update(_CONFIGS)

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
    "use_sdpa_attention",
    *_CONFIGS,
]
