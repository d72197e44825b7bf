"""One folder, many loaders: with heads, without, with a CTC head, and copied away from here."""


import pytest
import torch
from transformers import (
    AutoModel,
    AutoModelForCTC,
    HubertForCTC,
    HubertModel,
    WavLMForCTC,
    WavLMModel,
)

from .conftest import HEADS, PLAIN, SIZES, WITH_HEADS, build, import_from_folder, make_batch

PLAIN_LOADERS = {
    "hubert": (AutoModel, HubertModel, AutoModelForCTC, HubertForCTC),
    "wavlm": (AutoModel, WavLMModel, AutoModelForCTC, WavLMForCTC),
}


def test_a_plain_folder_gets_fresh_heads(family, encoder_options, tmp_path):
    config_class, model_class = PLAIN[family]
    plain = model_class(config_class(**encoder_options)).eval()
    plain.save_pretrained(tmp_path)
    heads = {"projection_size": 64, "codebook_size": 40, "num_pseudo_labels": 50}
    model, report = WITH_HEADS[family][1].from_pretrained(
        tmp_path, output_loading_info=True, **heads
    )
    assert {key.split(".")[0] for key in report["missing_keys"]} == {"spin_head", "auxiliary_head"}
    assert not report["unexpected_keys"] and not report["mismatched_keys"]
    for name, value in plain.state_dict().items():
        assert torch.equal(model.base_model.state_dict()[name], value), name
    codebook, projection = model.spin_head.codebook.weight, model.spin_head.projection
    torch.testing.assert_close(codebook.norm(dim=1), torch.ones(40))
    assert (codebook @ codebook.T - torch.eye(40)).abs().max() < 0.9  # 40 different directions
    # uniform within 1 / sqrt(fan in), as torch initialises a linear layer
    bound = encoder_options["hidden_size"] ** -0.5
    for parameter in (projection.weight, projection.bias):
        assert 0.9 * bound < parameter.abs().max() <= bound
    assert projection.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.1)
    assert model.auxiliary_head.weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert not model.auxiliary_head.bias.any()


def test_a_folder_with_heads_comes_back_as_it_was(family, encoder_options, tmp_path):
    model = build(family, **encoder_options)
    with torch.no_grad():  # rows as an optimiser step leaves them
        model.spin_head.codebook.weight.mul_(1.7)
    model.save_pretrained(tmp_path)
    again, report = WITH_HEADS[family][1].from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values())
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name
    batch = make_batch(model)
    torch.testing.assert_close(again(**batch).loss, model(**batch).loss)


def test_plain_loaders_give_the_same_hidden_states(family, encoder_options, tmp_path):
    model = build(family, **encoder_options)
    model.save_pretrained(tmp_path)
    batch = {name: make_batch(model)[name] for name in ("input_values", "attention_mask")}
    valid = model(**batch).units >= 0
    wanted = model(**batch, output_hidden_states=True).hidden_states
    heads = {"spin_head", "auxiliary_head"}
    for loader in PLAIN_LOADERS[family]:
        plain, report = loader.from_pretrained(tmp_path, output_loading_info=True)
        assert {key.split(".")[0] for key in report["unexpected_keys"]} == heads
        assert {key.split(".")[0] for key in report["missing_keys"]} <= {"lm_head"}
        assert plain.config.codebook_size == HEADS["codebook_size"]
        found = plain.eval()(**batch, output_hidden_states=True).hidden_states
        assert len(found) == len(wanted) == model.config.num_hidden_layers + 1
        for layer, expected in zip(found, wanted, strict=True):
            torch.testing.assert_close(layer[valid], expected[valid], rtol=1e-4, atol=2e-6)


def test_a_folder_stored_in_bfloat16_is_loaded_as_float32(family, tmp_path):
    config_class, model_class = PLAIN[family]
    model_class(config_class(**SIZES)).bfloat16().save_pretrained(tmp_path / "plain")
    build(family).bfloat16().save_pretrained(tmp_path / "heads")
    for folder in (tmp_path / "plain", tmp_path / "heads"):
        load = WITH_HEADS[family][1].from_pretrained
        model = load(folder, num_pseudo_labels=5)
        assert {p.dtype for p in model.parameters()} == {torch.float32}
        model(**make_batch(model)).loss.backward()
        half = load(folder, num_pseudo_labels=5, dtype=torch.bfloat16)
        assert half.dtype == torch.bfloat16 == load(folder, num_pseudo_labels=5, dtype="auto").dtype


def test_heads_of_weight_zero_ask_for_no_gradient_after_loading(tmp_path):
    build("hubert").save_pretrained(tmp_path)
    model = WITH_HEADS["hubert"][1].from_pretrained(tmp_path, spin_loss_weight=0.0)
    assert not any(p.requires_grad for p in model.spin_head.parameters())
    assert all(p.requires_grad for p in model.auxiliary_head.parameters())
    model = WITH_HEADS["hubert"][1].from_pretrained(tmp_path, auxiliary_loss_weight=0.0)
    assert not any(p.requires_grad for p in model.auxiliary_head.parameters())


def test_the_code_of_a_saved_folder_works_alone(family, tmp_path, monkeypatch):
    model = build(family)
    model.save_pretrained(tmp_path / "saved")
    copy = import_from_folder(tmp_path / "saved", "modeling_spin", monkeypatch)
    assert copy.RSpinModel.__module__.startswith("saved.")
    other = copy.RSpinModel.from_pretrained(tmp_path / "saved")
    batch = make_batch(model)
    torch.testing.assert_close(other(**batch).loss, model(**batch).loss)
