"""Folders saved by version 0.1.0 (made with its code and kept here) load with equal outputs."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModel, WavLMModel

from hf_rspin.models import LaserHubertModel, LaserModel, RSpinModel, RSpinWavLMModel

FOLDER = Path(__file__).parent / "saved_by_0_1_0"


@pytest.mark.parametrize("model_class", [RSpinModel, RSpinWavLMModel])
def test_rspin(model_class, tmp_path):
    given = load_file(FOLDER / "rspin_wavlm_outputs.safetensors")
    model = model_class.from_pretrained(FOLDER / "rspin_wavlm").eval()
    assert (model.config.codebook_size, model.config.num_pseudo_labels) == (6, 7)
    views = {"perturbed_input_values": given["other"], "labels": given["labels"]}
    output = model(given["audio"], **views)
    for name in ("loss", "spin_loss", "last_hidden_state", "code_logits"):
        torch.testing.assert_close(getattr(output, name), given[name], rtol=1e-4, atol=1e-5)
    assert torch.equal(model(given["audio"]).units, given["code_logits"].argmax(-1))
    model.save_pretrained(tmp_path)
    again = AutoModel.from_pretrained(tmp_path, trust_remote_code=True).eval()
    torch.testing.assert_close(again(given["audio"], **views).loss, given["loss"])
    plain = WavLMModel.from_pretrained(FOLDER / "rspin_wavlm").eval()
    states = plain(given["audio"]).last_hidden_state
    torch.testing.assert_close(states, given["last_hidden_state"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("model_class", [LaserModel, LaserHubertModel])
def test_laser(model_class):
    given = load_file(FOLDER / "laser_hubert_outputs.safetensors")
    model = model_class.from_pretrained(FOLDER / "laser_hubert").eval()
    assert model.config.projection_layers == 2
    output = model(given["audio"], perturbed_input_values=given["other"])
    for name in ("loss", "last_hidden_state", "projections"):
        torch.testing.assert_close(getattr(output, name), given[name], rtol=1e-4, atol=1e-5)
