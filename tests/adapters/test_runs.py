"""Adapters in training runs: exact resume, refusals before the hours, and folders that travel."""

import json

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModel, HubertConfig, HubertModel, Wav2Vec2FeatureExtractor

from hf_rspin.adapters import (
    AdapterArguments,
    ReadConfig,
    add_lora,
    is_adapter,
    load_adapted,
    save_config,
)
from hf_rspin.data.checks import ConfigurationError
from hf_rspin.evaluation import PretrainedEncoderFeatures
from hf_rspin.models.folders import resolve_encoder
from hf_rspin.resources import encoder_folder
from hf_rspin.training.run import run_training, save_merged

from .conftest import SIZES
from .objectives import load, trainer_of


def logged(trainer):
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


@pytest.mark.parametrize("objective", ["rspin", "score"])
@pytest.mark.parametrize("adapter", ["lora", "read"])
def test_a_resumed_run_equals_one_that_was_not(
    adapter, objective, encoder_folders, audio, tmp_path
):
    def run(folder, max_steps, **resume):
        torch.manual_seed(0)
        model = AdapterArguments(adapter).wrap(load(objective, "hubert", encoder_folders["hubert"]))
        trainer = trainer_of(objective, model, audio, folder, max_steps=max_steps)
        trainer.train(**resume)
        return trainer

    whole = run(tmp_path / "whole", 4)
    run(tmp_path / "part", 4)
    for name in ("checkpoint-3", "checkpoint-4"):  # as if it had been killed after the second
        folder = tmp_path / "part" / name
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
    whole_losses, resumed = logged(whole), run(tmp_path / "part", 4, resume_from_checkpoint=True)
    assert len(whole_losses) == 4 and logged(resumed) == whole_losses
    moved, again = whole.model.state_dict(), resumed.model.state_dict()
    assert all(torch.equal(moved[name], again[name]) for name in moved)


@pytest.mark.parametrize("adapter", ["lora", "read"])
def test_probes_read_the_folder_of_an_adapter(adapter, encoder_folders, audio, waveforms, tmp_path):
    model = AdapterArguments(adapter).wrap(load("spin", "hubert", encoder_folders["hubert"]))
    trainer = trainer_of("spin", model, audio, tmp_path)
    trainer.train()
    trainer.save_model()
    front_end = PretrainedEncoderFeatures.from_pretrained(tmp_path, bf16=False)
    features = front_end(waveforms[0].numpy())  # (layers, frames, dim)
    assert len(features) == SIZES["num_hidden_layers"] + 1
    wanted = model.eval()(waveforms[:1]).last_hidden_state[0]
    torch.testing.assert_close(features[-1], wanted)


def test_an_adapter_without_effect_stops_the_first_update(encoder_folders, audio, tmp_path):
    model = load("spin", "hubert", encoder_folders["hubert"])
    model.config.spin_layer = 1
    model = add_lora(model, layers=[2], heads=["spin_head"])
    trainer = trainer_of("spin", model, audio, tmp_path)
    with pytest.raises(RuntimeError, match="none of the 8 trainable tensors of the LORA adapter"):
        trainer.train()
    assert trainer.state.global_step == 0


def test_train_encoder_norm_and_an_adapter_exclude_each_other(encoder_folders, audio, tmp_path):
    model = AdapterArguments("read").wrap(load("laser", "hubert", encoder_folders["hubert"]))
    with pytest.raises(ValueError, match="which an adapter leaves frozen: leave out one"):
        trainer_of("laser", model, audio, tmp_path, train_encoder_norm=True)


def test_the_embedded_encoder_is_named_by_a_word(tmp_path):
    model = load("spin", "hubert", encoder_folder())
    model = AdapterArguments("read").wrap(model)
    model.save_pretrained(tmp_path)
    save_config(model, tmp_path)
    written = json.loads((tmp_path / "adapter_config.json").read_text())
    assert written["base_model_name_or_path"] == "bundled"
    assert load_adapted(tmp_path).config.codebook_size == 6


def test_folders_that_cannot_be_loaded_are_explained(encoder_folders, tmp_path):
    with pytest.raises(ValueError, match="holds no adapter of a training script"):
        load_adapted(encoder_folders["hubert"])
    model = get_peft_model(HubertModel(HubertConfig(**SIZES)), ReadConfig(width=4))
    model.save_pretrained(tmp_path)
    model.base_model.model.config.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="does not name its base model: pass base="):
        load_adapted(tmp_path)
    loaded = load_adapted(tmp_path, base=encoder_folders["hubert"])
    assert loaded.base_model.model.config.hidden_size == SIZES["hidden_size"]
    other = {**SIZES, "intermediate_size": 48}
    HubertModel(HubertConfig(**other)).save_pretrained(tmp_path / "wider")
    HubertModel(HubertConfig(**{**SIZES, "num_hidden_layers": 2})).save_pretrained(tmp_path / "low")
    for wrong in (tmp_path / "wider", tmp_path / "low", encoder_folders["wavlm"]):
        with pytest.raises(
            ValueError, match="is not the base model of the adapter in .*: (it is a|.* w)"
        ):
            load_adapted(tmp_path, base=wrong)
    with pytest.raises(ValueError, match="cannot be loaded .*: pass base=... with its folder or"):
        load_adapted(tmp_path, base=tmp_path / "moved")
    with pytest.raises(ValueError, match="holds an adapter, no model; expected a folder with"):
        resolve_encoder(str(tmp_path))


def test_a_relative_base_is_found_from_elsewhere(encoder_folders, tmp_path, monkeypatch):
    monkeypatch.chdir(encoder_folders["hubert"].parent)
    model = AdapterArguments("lora").wrap(load("spin", "hubert", encoder_folders["hubert"].name))
    model.save_pretrained(tmp_path)
    save_config(model, tmp_path)
    monkeypatch.chdir(tmp_path)
    assert load_adapted(tmp_path).config.codebook_size == 6


def test_one_of_several_adapters_is_loaded_from_its_folder(encoder_folders, waveforms, tmp_path):
    model = add_lora(load("spin", "hubert", encoder_folders["hubert"]), heads=["spin_head"])
    config = LoraConfig(r=2, target_modules=["q_proj"], modules_to_save=["spin_head"])
    model.add_adapter("other", config)
    model.set_adapter("other")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B.other" in name:
                parameter.fill_(1.0)
    model.save_pretrained(tmp_path)
    save_config(model, tmp_path)
    wanted = model.eval()(waveforms)
    found = load_adapted(tmp_path / "other").eval()(waveforms)
    torch.testing.assert_close(found.last_hidden_state, wanted.last_hidden_state)
    assert not torch.equal(load_adapted(tmp_path).eval()(waveforms)[0], wanted[0])


@pytest.mark.parametrize(
    ("first", "then", "message"),
    [({"adapter": "lora"}, {}, "adapter was lora and is none"),
     ({}, {"adapter": "read"}, "adapter was none and is read"),
     ({"adapter": "lora"}, {"adapter": "lora", "lora_alpha": 4.0}, "lora_alpha was 16.0 and is 4"),
     ({"adapter": "read"}, {"adapter": "read", "read_scale": 0.5}, "scale was 1.0 and is 0.5")],
)  # fmt: skip
def test_a_run_goes_on_with_its_own_adapter_only(
    first, then, message, encoder_folders, audio, tmp_path
):
    def trainer_with(settings, **options):
        model = AdapterArguments(**settings).wrap(load("spin", "hubert", encoder_folders["hubert"]))
        return trainer_of("spin", model, audio, tmp_path, **options)

    trainer_with(first, max_steps=1).train()
    with pytest.raises(ConfigurationError, match=message):
        trainer_with(then).train(resume_from_checkpoint=True)


def test_nothing_is_left_of_a_run_that_is_overwritten(encoder_folders, audio, waveforms, tmp_path):
    def run(adapter):
        torch.manual_seed(0)
        model = AdapterArguments(adapter).wrap(load("spin", "hubert", encoder_folders["hubert"]))
        trainer = trainer_of("spin", model, audio, tmp_path, max_steps=1, overwrite_output_dir=True)
        run_training(trainer)
        return trainer.model.eval()

    run("lora")
    assert (tmp_path / "merged" / "model.safetensors").is_file()
    whole = run("none")  # AutoModel would load an adapter that lies beside on top
    loaded = AutoModel.from_pretrained(tmp_path).eval()
    wanted = whole(waveforms).last_hidden_state
    torch.testing.assert_close(loaded(waveforms).last_hidden_state, wanted)
    assert not is_adapter(tmp_path) and not (tmp_path / "merged").exists()
    run("read")
    assert is_adapter(tmp_path) and not (tmp_path / "model.safetensors").exists()
    with pytest.raises(OSError, match="no file named model.safetensors"):
        AutoModel.from_pretrained(tmp_path)


def test_the_merged_folder_is_replaced_whole_and_an_edited_card_stays(
    encoder_folders, audio, tmp_path, monkeypatch
):
    def run():
        model = AdapterArguments("lora").wrap(load("spin", "hubert", encoder_folders["hubert"]))
        trainer = trainer_of("spin", model, audio, tmp_path, max_steps=1)
        run_training(trainer)  # the second time it is over: merged anew

    run()
    merged = tmp_path / "merged"
    before = (merged / "model.safetensors").read_bytes()
    (merged / "README.md").write_text("mine\n")
    (merged / "stale.bin").write_text("of another version")
    run()
    assert (merged / "model.safetensors").read_bytes() == before
    assert (merged / "README.md").read_text() == "mine\n"
    assert not (merged / "stale.bin").exists()

    def fail(self, folder):
        raise OSError("No space left on device")

    monkeypatch.setattr(Wav2Vec2FeatureExtractor, "save_pretrained", fail)
    trainer = trainer_of(
        "spin", load_adapted(tmp_path, is_trainable=True), audio, tmp_path, max_steps=1
    )
    with pytest.raises(OSError, match="No space"):
        save_merged(trainer)
    assert (merged / "README.md").read_text() == "mine\n"
    assert not list(tmp_path.glob(".merged*"))


def test_heads_that_a_config_by_hand_forgets_are_named(encoder_folders, audio, tmp_path, caplog):
    model = load("spin", "hubert", encoder_folders["hubert"])
    model = get_peft_model(model, LoraConfig(target_modules=["q_proj", "v_proj"]))
    trainer = trainer_of("spin", model, audio, tmp_path, max_steps=1)
    with caplog.at_level("WARNING", logger="hf_rspin"):
        trainer.train()
    assert "spin_head neither trains nor is saved with the adapter" in caplog.text
