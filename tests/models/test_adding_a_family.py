"""Worked example for CONTRIBUTING: a new encoder family is one row in `encoder.FAMILIES`."""

import pytest
import torch
from peft import get_peft_model
from transformers import AutoModel, UniSpeechConfig, UniSpeechModel

from hf_rspin.adapters import ReadConfig, add_lora, check_adapter_gradients
from hf_rspin.models import SCORE_SETTINGS, LaserModel, RSpinModel, load_encoder
from hf_rspin.models.encoder import FAMILIES, EncoderFamily

from .conftest import SIZES


@pytest.fixture
def unispeech(monkeypatch, tmp_path):
    """The row, which a contributor writes into the table, and the folder of such an encoder."""
    monkeypatch.setitem(FAMILIES, "unispeech", EncoderFamily("UniSpeech"))
    torch.manual_seed(0)
    UniSpeechModel(UniSpeechConfig(**SIZES)).save_pretrained(tmp_path / "plain")
    return tmp_path / "plain"


@pytest.mark.parametrize("objective", ["spin", "laser", "score"])
def test_the_row_is_enough(objective, unispeech, tmp_path):
    model_class = RSpinModel if objective == "spin" else LaserModel
    settings = SCORE_SETTINGS["hubert"] if objective == "score" else {}
    model = model_class.from_pretrained(unispeech, **settings)
    model.num_frozen_layers = 2
    if objective == "score":
        model.make_teacher()
    views = torch.randn(2, 2, 4000)
    model.train()(views[0], perturbed_input_values=views[1]).loss.backward()
    model.eval().save_pretrained(tmp_path / "saved")
    states = model(views[0]).last_hidden_state
    for other in (AutoModel.from_pretrained(tmp_path / "saved").eval(),
                  load_encoder(tmp_path / "saved")):  # fmt: skip
        assert type(other) is UniSpeechModel
        torch.testing.assert_close(other(views[0]).last_hidden_state, states, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("adapter", ["lora", "read"])
def test_adapters_know_it_too(adapter, unispeech):
    model = RSpinModel.from_pretrained(unispeech)
    heads = ["spin_head"]
    if adapter == "lora":
        adapted = add_lora(model, rank=2, heads=heads)
    else:
        adapted = get_peft_model(model, ReadConfig(width=4, modules_to_save=heads))
    views = torch.randn(2, 2, 4000)
    adapted.train()(views[0], perturbed_input_values=views[1]).loss.backward()
    check_adapter_gradients(adapted)
