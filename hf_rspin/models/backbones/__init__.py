"""Encoders of our own, known to `AutoConfig`, `AutoModel` and `AutoModelForCTC`."""

from transformers import AutoConfig, AutoModel, AutoModelForCTC

from hf_rspin.models.backbones.mr_hubert import (
    MRHubertConfig,
    MRHubertForCTC,
    MRHubertModel,
)
from hf_rspin.models.backbones.summary_mixing import SummaryMixing
from hf_rspin.models.backbones.summary_mixing_hubert import (
    SummaryMixingHubertConfig,
    SummaryMixingHubertForCTC,
    SummaryMixingHubertModel,
    convert_attention,
)
from hf_rspin.models.own_types import OWN_TYPES

__all__ = [
    "MRHubertConfig",
    "MRHubertForCTC",
    "MRHubertModel",
    "SummaryMixing",
    "SummaryMixingHubertConfig",
    "SummaryMixingHubertForCTC",
    "SummaryMixingHubertModel",
    "convert_attention",
]

for _name, _own in OWN_TYPES.items():
    AutoConfig.register(_name, _own.config)
    AutoModel.register(_own.config, _own.model)
    if _own.ctc is not None:
        AutoModelForCTC.register(_own.config, _own.ctc)
