"""Weights inside an encoder that its config has no place for are told; heads are not."""

import json

import pytest
import torch
from transformers import HubertConfig, HubertForCTC, HubertModel

from hf_rspin import MRHubertConfig, MRHubertModel
from hf_rspin.models import RSpinModel, load_encoder
from hf_rspin.models.modeling_masked_prediction import MaskedPredictionModel

from .conftest import SIZES


def change_config(folder, **changes):
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.mark.parametrize("model_class", [HubertModel, HubertForCTC])
def test_layers_above_those_of_the_config_are_told(model_class, tmp_path, caplog):
    model_class(HubertConfig(**SIZES)).save_pretrained(tmp_path)
    change_config(tmp_path, num_hidden_layers=SIZES["num_hidden_layers"] - 1)
    assert len(load_encoder(tmp_path).encoder.layers) == SIZES["num_hidden_layers"] - 1
    top = f"encoder.layers.{SIZES['num_hidden_layers'] - 1}.attention.k_proj.bias"
    assert f"holds 16 weights that its encoder has no place for, such as {top}, " in caplog.text


def test_sampling_modules_of_another_kind_are_told(tmp_path, caplog):
    MRHubertModel(MRHubertConfig(**SIZES | {"num_hidden_layers": 3})).save_pretrained(tmp_path)
    change_config(tmp_path, simple_sampling=True)
    load_encoder(tmp_path)
    assert "holds 6 weights that its encoder has no place for, such as encoder.sam" in caplog.text


def test_heads_and_the_embedding_of_masked_frames_are_not_told(tmp_path, caplog):
    torch.manual_seed(0)
    HubertForCTC(HubertConfig(**SIZES)).save_pretrained(tmp_path / "ctc")
    heads = {"codebook_size": 6, "projection_size": 8}
    RSpinModel.from_pretrained(tmp_path / "ctc", **heads).save_pretrained(tmp_path / "rspin")
    MaskedPredictionModel.from_pretrained(tmp_path / "ctc", num_frame_labels=4).save_pretrained(
        tmp_path / "masked"
    )
    for name in ("ctc", "rspin", "masked"):
        change_config(tmp_path / name, mask_time_prob=0.0, mask_feature_prob=0.0)
        load_encoder(tmp_path / name)
    assert "has no place for" not in caplog.text
