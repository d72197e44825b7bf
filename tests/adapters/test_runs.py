"""Adapters in training runs: exact resume, refusals before the hours, and folders that travel."""

import json

import pytest
import torch
from peft import get_peft_model

from hf_rspin.adapters import AdapterArguments, ReadConfig, add_lora, load_adapted, save_config
from hf_rspin.evaluation import EncoderFrontEnd
from hf_rspin.resources import encoder_folder

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
    front_end = EncoderFrontEnd.from_pretrained(tmp_path, bf16=False)
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
    assert written["base_model_name_or_path"] == "embedded"
    assert load_adapted(tmp_path).config.codebook_size == 6


def test_folders_that_cannot_be_loaded_are_explained(encoder_folders, tmp_path):
    with pytest.raises(ValueError, match="holds no adapter of a training script"):
        load_adapted(encoder_folders["hubert"])
    from transformers import HubertConfig, HubertModel

    model = get_peft_model(HubertModel(HubertConfig(**SIZES)), ReadConfig(width=4))
    model.save_pretrained(tmp_path)
    model.base_model.model.config.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="does not name its base model: pass base="):
        load_adapted(tmp_path)
    loaded = load_adapted(tmp_path, base=encoder_folders["hubert"])
    assert loaded.base_model.model.config.hidden_size == SIZES["hidden_size"]
