"""Models with heads named after their encoder, for code that was written for one family."""

from hf_rspin.models.configuration import config_class
from hf_rspin.models.laser_fields import LaserFields
from hf_rspin.models.modeling_laser import LaserModel
from hf_rspin.models.modeling_spin import RSpinModel
from hf_rspin.models.spin_fields import SpinFields


class RSpinHubertModel(RSpinModel):
    """`RSpinModel` of a HuBERT; refuses other encoders."""

    config_class = config_class(SpinFields, "hubert")


class RSpinWavLMModel(RSpinModel):
    """`RSpinModel` of a WavLM; refuses other encoders."""

    config_class = config_class(SpinFields, "wavlm")


class LaserHubertModel(LaserModel):
    """`LaserModel` of a HuBERT; refuses other encoders."""

    config_class = config_class(LaserFields, "hubert")


class LaserWavLMModel(LaserModel):
    """`LaserModel` of a WavLM; refuses other encoders."""

    config_class = config_class(LaserFields, "wavlm")
