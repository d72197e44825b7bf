"""The one suite: every family x objective trains, is saved, and loads everywhere.

Without an adapter, and with one of the two: LoRA and READ take turns, so that each of them meets
every family and every objective (SEW has LoRA alone: READ cannot run its stack, and says so).
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import MODEL_MAPPING, AutoModel, AutoModelForCTC

from hf_rspin.adapters import AdapterArguments, adapted_model, load_adapted, merge_lora
from hf_rspin.evaluation.features import PretrainedEncoderFeatures
from hf_rspin.models.encoder import FAMILIES

from .objectives import OBJECTIVES, load, trainer_of

COMBINATIONS = [
    (family, adapter, objective)
    for row, family in enumerate(FAMILIES)
    for column, objective in enumerate(OBJECTIVES)
    for adapter in ("none", "lora" if family == "sew" else ("lora", "read")[(row + column) % 2])
]


@pytest.mark.parametrize(("family", "adapter", "objective"), COMBINATIONS)
def test_two_updates_saved_and_loaded(
    family, adapter, objective, encoder_folders, audio, waveforms, tmp_path
):
    model, before = train(objective, family, adapter, encoder_folders, audio, tmp_path)
    wanted = model.eval()(waveforms).last_hidden_state
    start = load(objective, family, encoder_folders[family]).eval()(waveforms).last_hidden_state
    assert (wanted - start).abs().max() > 1e-4  # two updates did something to the features

    if adapter == "none":
        loaded = type(model).from_pretrained(tmp_path).eval()
    else:
        assert isinstance(model, PeftModel)
        loaded = load_adapted(tmp_path)
        assert type(adapted_model(loaded)) is type(adapted_model(model))
        check_frozen(model, before)
        names = {PretrainedEncoderFeatures(load_adapted(tmp_path), "a").fingerprint() for _ in "ab"}
        assert len(names) == 1  # so that an evaluation that was stopped finds its results
    torch.testing.assert_close(loaded(waveforms).last_hidden_state, wanted)
    check_heads(loaded, model)

    whole = model if adapter == "none" else merge_lora(model) if adapter == "lora" else None
    if whole is None:
        return
    folder = tmp_path / "whole"
    whole.save_pretrained(folder)
    again = type(whole).from_pretrained(folder).eval()
    torch.testing.assert_close(again(waveforms).last_hidden_state, wanted, rtol=1e-5, atol=1e-5)
    check_plain(folder, family, waveforms, again)


def test_read_on_sew_is_refused_with_what_to_do(encoder_folders):
    model = load("spin", "sew", encoder_folders["sew"])
    with pytest.raises(ValueError, match="is a SEWEncoder, which READ cannot run; .*use LoRA"):
        AdapterArguments("read").wrap(model)


def train(objective, family, adapter, encoder_folders, audio, folder):
    """Two updates, saved in `folder`; the model, and the encoder's weights from before."""
    torch.manual_seed(0)
    model = load(objective, family, encoder_folders[family])
    before = {name: value.clone() for name, value in model.base_model.state_dict().items()}
    model = AdapterArguments(adapter).wrap(model)
    trainer = trainer_of(objective, model, audio, folder)
    trainer.train()
    trainer.save_model()
    return model, before


def check_frozen(model, before):
    """The encoder under an adapter never moved."""
    with model.disable_adapter():
        frozen = adapted_model(model).base_model.state_dict()
    for name, value in before.items():
        module, _, parameter = name.rpartition(".")
        candidates = [name, f"{module}.base_layer.{parameter}"]
        for stack in ("encoder.", "encoder.encoder."):
            candidates.append(name.replace(stack, f"{stack}base_layer.", 1))
        found = next(frozen[key] for key in candidates if key in frozen)
        assert torch.equal(found, value), name


def check_heads(loaded, model):
    """The heads came back bit by bit."""
    heads = {n for n in model.state_dict() if "_head" in n and "original_module" not in n}
    assert heads
    for name in heads:
        assert torch.equal(loaded.state_dict()[name], model.state_dict()[name]), name


@torch.no_grad()
def check_plain(folder, family, waveforms, model):
    """Everybody else gets a plain encoder with equal hidden states, and no code of the heads."""
    states = model.base_model(waveforms, output_hidden_states=True).hidden_states
    config = json.loads((folder / "config.json").read_text())
    assert config["model_type"] == family
    plain = AutoModel.from_pretrained(folder).eval()
    own = MODEL_MAPPING[type(plain.config)]
    homes = ("transformers.models.", "hf_rspin.models.backbones.")
    assert type(plain) is own and plain.__module__.startswith(homes)
    ctc = AutoModelForCTC.from_pretrained(folder, vocab_size=32).eval()
    for other in (plain, own.from_pretrained(folder).eval(), ctc):
        found = other(waveforms, output_hidden_states=True).hidden_states
        for one, wanted in zip(found, states, strict=True):
            torch.testing.assert_close(one, wanted, rtol=1e-4, atol=1e-5)


def test_a_process_without_the_package_loads_them_all(
    encoder_folders, audio, waveforms, tmp_path
):
    # trained here, not taken from the tests above: those may run in other processes.
    # Merged LoRA saves the same code, and is loaded as a plain encoder above.
    # Every family and every objective comes once: what a folder brings with it depends on each
    # alone, and all pairs are trained and loaded above.
    folders, objectives = [], list(OBJECTIVES)
    for place in range(max(len(FAMILIES), len(objectives))):
        family = list(FAMILIES)[place % len(FAMILIES)]
        objective = objectives[place % len(objectives)]
        folder = tmp_path / f"{family}-{objective}"
        model, _ = train(objective, family, "none", encoder_folders, audio, folder)
        with torch.no_grad():
            states = model.eval()(waveforms).last_hidden_state
        torch.save({"waveforms": waveforms, "states": states}, folder / "given.pt")
        folders.append(folder)
    script = Path(__file__).with_name("stranger.py")
    run = subprocess.run(
        [sys.executable, script, *map(str, folders)], capture_output=True, text=True, timeout=300
    )
    assert run.returncode == 0, run.stderr[-2000:]
    assert run.stdout.split() == [folder.name for folder in folders]
