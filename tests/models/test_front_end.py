"""What an encoder reads is decided by its convolutions."""

import pytest
from transformers import HubertConfig, WavLMConfig

from hf_rspin.models import RSpinHubertConfig
from hf_rspin.models.encoder import reads_normalized


@pytest.mark.parametrize("config_class", [HubertConfig, WavLMConfig, RSpinHubertConfig])
def test_only_layer_norm_front_ends_read_normalised_waveforms(config_class):
    assert reads_normalized(config_class(feat_extract_norm="layer")) is True
    assert reads_normalized(config_class(feat_extract_norm="group")) is False
