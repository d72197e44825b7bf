"""Plain encoders out of models with heads: equal hidden states, and nothing that is ours."""

import json

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoModel,
    HubertConfig,
    HubertForCTC,
    HubertModel,
    Wav2Vec2Config,
    WavLMConfig,
    WavLMModel,
)

from hf_rspin.hub import ModelCardInfo, clean_config, export_plain
from hf_rspin.models.configuration import fields_of_heads
from hf_rspin.publishing.card_file import is_untouched

from .conftest import HAND_WRITTEN, SIZES, spin_model, tiny_models

PLAIN = {"hubert": (HubertConfig, HubertModel), "wavlm": (WavLMConfig, WavLMModel)}


def states(model):
    torch.manual_seed(1)
    with torch.no_grad():
        return model.eval()(torch.randn(2, 4000), output_hidden_states=True).hidden_states


@pytest.mark.parametrize("source", ["model", "folder"])
@pytest.mark.parametrize("name", ["rspin_hubert", "rspin_wavlm", "laser_hubert", "laser_wavlm"])
def test_hidden_states_are_equal_and_the_config_is_clean(name, source, tmp_path):
    model = tiny_models()[name]
    model.save_pretrained(tmp_path / "heads")
    export_plain(model if source == "model" else tmp_path / "heads", tmp_path / "plain")
    config_class, model_class = PLAIN[model.config.model_type]
    plain = AutoModel.from_pretrained(tmp_path / "plain")
    assert type(plain) is model_class and type(plain.config) is config_class
    for found, wanted in zip(states(plain), states(model), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
    saved = json.loads((tmp_path / "plain" / "config.json").read_text())
    assert saved["architectures"] == [model_class.__name__] and "auto_map" not in saved
    stock = config_class().to_dict().keys() | {"architectures", "dtype"}
    assert saved.keys() <= stock and not saved.keys() & fields_of_heads()
    files = {path.name for path in (tmp_path / "plain").iterdir()}
    assert files == {"README.md", "config.json", "model.safetensors", "preprocessor_config.json"}


def test_the_extractor_and_the_card_come_along(tmp_path):
    model = spin_model()
    model.card_info = ModelCardInfo(name="Mine", license="mit", training_data="Speech, 100 h.")
    model.save_pretrained(tmp_path / "heads")
    extractor = tmp_path / "heads" / "preprocessor_config.json"
    extractor.write_text(extractor.read_text().replace("false", "true", 1))  # as the user wants it
    export_plain(tmp_path / "heads", tmp_path / "plain")
    found = json.loads((tmp_path / "plain" / "preprocessor_config.json").read_text())
    assert found["do_normalize"] is True
    text = (tmp_path / "plain" / "README.md").read_text()
    assert "license: mit" in text and "Speech, 100 h." in text and "with Spin" in text
    assert "trust_remote_code" not in text and is_untouched(text)
    (tmp_path / "heads" / "README.md").write_text(HAND_WRITTEN)
    export_plain(tmp_path / "heads", tmp_path / "other")
    assert (tmp_path / "other" / "README.md").read_text() == HAND_WRITTEN


def test_a_recogniser_loaded_from_our_folder_gets_a_clean_config(tmp_path):
    spin_model().save_pretrained(tmp_path / "heads")
    model = HubertForCTC.from_pretrained(tmp_path / "heads", vocab_size=7)
    assert model.config.auto_map and model.config.codebook_size == 8
    clean = clean_config(model.config)
    assert type(clean) is HubertConfig and clean.vocab_size == 7
    assert not vars(clean).keys() & {"auto_map", *fields_of_heads()} and clean.architectures is None
    assert clean.dtype == model.config.dtype
    assert clean._attn_implementation == model.config._attn_implementation
    assert model.config.codebook_size == 8  # which stays as it is
    model.config = clean
    model.save_pretrained(tmp_path / "ctc")
    assert json.loads((tmp_path / "ctc" / "config.json").read_text())["architectures"] == [
        "HubertForCTC"
    ]
    export_plain(tmp_path / "ctc", tmp_path / "plain")
    plain = HubertModel.from_pretrained(tmp_path / "plain")
    torch.testing.assert_close(states(plain)[-1], states(model.hubert)[-1])


def test_other_encoders_keep_their_class():
    config = Wav2Vec2Config(hidden_size=32, auto_map={"AutoModel": "a.B"}, codebook_size=3)
    clean = clean_config(config)
    assert type(clean) is Wav2Vec2Config and clean.hidden_size == 32
    assert not vars(clean).keys() & {"auto_map", "codebook_size"}


def test_precision_is_kept(tmp_path):
    spin_model().bfloat16().save_pretrained(tmp_path / "heads")
    export_plain(tmp_path / "heads", tmp_path / "plain")
    assert AutoModel.from_pretrained(tmp_path / "plain", dtype="auto").dtype == torch.bfloat16


def test_what_cannot_be_exported_is_refused(tmp_path):
    model = spin_model()
    model.save_pretrained(tmp_path)
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(ValueError, match="give another folder for its plain encoder"):
        export_plain(tmp_path, tmp_path)
    adapted = get_peft_model(
        HubertModel(HubertConfig(**SIZES)), LoraConfig(target_modules=["q_proj"])
    )
    with pytest.raises(TypeError, match="is a PeftModel.*merge an adapter first"):
        export_plain(adapted, tmp_path / "plain")
    assert sorted(path.name for path in tmp_path.iterdir()) == before
