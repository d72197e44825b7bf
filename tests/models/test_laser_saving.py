"""A LASER or SCORE folder is a plain encoder for everyone else, and comes back as it was."""


import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoModelForCTC

from hf_rspin.models import LaserHubertModel, RSpinHubertModel

from .conftest import PLAIN, build
from .laser_models import LASER, build_laser, make_pair


def test_a_plain_folder_gets_a_fresh_projection(family, encoder_options, tmp_path):
    config_class, model_class = PLAIN[family]
    plain = model_class(config_class(**encoder_options)).eval()
    plain.save_pretrained(tmp_path)
    model, report = LASER[family][1].from_pretrained(
        tmp_path, output_loading_info=True, projection_size=64, projection_layers=2
    )
    assert {key.split(".")[0] for key in report["missing_keys"]} == {"laser_head"}
    assert not report["unexpected_keys"] and not report["mismatched_keys"]
    for name, value in plain.state_dict().items():
        assert torch.equal(model.base_model.state_dict()[name], value), name
    for layer in (model.laser_head.projection, model.laser_head.output):
        bound = layer.in_features**-0.5
        assert layer.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.1)
        assert 0.7 * bound < layer.bias.abs().max() <= bound


@pytest.mark.parametrize("score", [False, True])
def test_saved_comes_back_and_loads_as_a_plain_encoder(family, encoder_options, score, tmp_path):
    model = build_laser(family, score=score, **encoder_options)
    model.num_frozen_layers = 1
    if score:
        model.make_teacher()
    model.save_pretrained(tmp_path)
    again, report = LASER[family][1].from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values())
    found, saved = again.config.to_dict(), model.config.to_dict()
    assert all(found[name] == saved[name] for name in saved if name != "_name_or_path")
    assert not again.has_teacher
    assert not any("teacher" in name for name in model.state_dict())
    again.num_frozen_layers = 1
    if score:
        again.make_teacher()
    batch = make_pair()
    torch.testing.assert_close(again(**batch).loss, model(**batch).loss)
    waveform = batch["input_values"][:1]
    wanted = model(waveform).last_hidden_state
    for loader in (AutoModel, AutoModelForCTC, PLAIN[family][1]):
        plain, report = loader.from_pretrained(tmp_path, output_loading_info=True)
        assert {key.split(".")[0] for key in report["unexpected_keys"]} == {"laser_head"}
        assert {key.split(".")[0] for key in report["missing_keys"]} <= {"lm_head"}
        encoder = plain.eval().base_model
        found = encoder(waveform).last_hidden_state
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=2e-6)


def test_folders_of_rspin_and_laser_can_be_exchanged(tmp_path):
    build("hubert").save_pretrained(tmp_path / "rspin")
    model = LaserHubertModel.from_pretrained(tmp_path / "rspin")
    model.save_pretrained(tmp_path / "laser")
    other = RSpinHubertModel.from_pretrained(tmp_path / "laser", codebook_size=4)
    for name, value in model.base_model.state_dict().items():
        assert torch.equal(other.base_model.state_dict()[name], value), name


def test_a_plain_config_is_read_as_ours(family, tmp_path):
    # AutoModel with trust_remote_code reads the config by its type, a plain encoder's
    build_laser(family, score=True, idm_margin=0.7).save_pretrained(tmp_path)
    plain = AutoConfig.from_pretrained(tmp_path)
    assert type(plain) is PLAIN[family][0]
    model = LASER[family][1].from_pretrained(tmp_path, config=plain)
    assert isinstance(model.config, LASER[family][0])
    assert model.config.idm_margin == 0.7 and model.config.frozen_teacher
