"""Models with heads named after their encoder, for code that was written for one family."""

from hf_rspin.models.configuration import CONFIG_CLASSES, LaserFields, SpinFields
from hf_rspin.models.modeling_laser import LaserModel
from hf_rspin.models.modeling_spin import RSpinModel


class RSpinHubertModel(RSpinModel):
    """`RSpinModel` of a HuBERT; refuses other encoders."""

    config_class = CONFIG_CLASSES[SpinFields, "hubert"]


class RSpinWavLMModel(RSpinModel):
    """`RSpinModel` of a WavLM; refuses other encoders."""

    config_class = CONFIG_CLASSES[SpinFields, "wavlm"]


class LaserHubertModel(LaserModel):
    """`LaserModel` of a HuBERT; refuses other encoders."""

    config_class = CONFIG_CLASSES[LaserFields, "hubert"]


class LaserWavLMModel(LaserModel):
    """`LaserModel` of a WavLM; refuses other encoders."""

    config_class = CONFIG_CLASSES[LaserFields, "wavlm"]
