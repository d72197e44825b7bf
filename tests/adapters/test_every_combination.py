"""Every encoder x adapter x objective trains, is saved, and comes back as it was."""

import pytest
import torch
from peft import PeftModel

from hf_rspin.adapters import AdapterArguments, adapted_model, load_adapted, merge_lora

from .objectives import OBJECTIVES, load, trainer_of


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("adapter", ["none", "lora", "read"])
@pytest.mark.parametrize("family", ["hubert", "wavlm"])
def test_two_updates_saved_and_loaded(
    family, adapter, objective, encoder_folders, audio, waveforms, tmp_path
):
    torch.manual_seed(0)
    model = load(objective, family, encoder_folders[family])
    before = {name: value.clone() for name, value in model.base_model.state_dict().items()}
    model = AdapterArguments(adapter).wrap(model)
    trainer = trainer_of(objective, model, audio, tmp_path)
    trainer.train()
    trainer.save_model()
    model.eval()
    wanted = model(waveforms).last_hidden_state

    if adapter == "none":
        loaded = type(model).from_pretrained(tmp_path).eval()
    else:
        assert isinstance(model, PeftModel)
        loaded = load_adapted(tmp_path)
        assert type(adapted_model(loaded)) is type(adapted_model(model))
        with model.disable_adapter():  # the encoder itself never moved
            frozen = adapted_model(model).base_model.state_dict()
        for name, value in before.items():
            candidates = [name, name.replace("encoder.", "encoder.base_layer.", 1)]
            module, _, parameter = name.rpartition(".")
            candidates.append(f"{module}.base_layer.{parameter}")
            found = next(frozen[key] for key in candidates if key in frozen)
            assert torch.equal(found, value), name
    torch.testing.assert_close(loaded(waveforms).last_hidden_state, wanted)
    heads = {name for name in model.state_dict() if "_head" in name}
    heads = {name for name in heads if "original_module" not in name}
    assert heads
    for name in heads:
        assert torch.equal(loaded.state_dict()[name], model.state_dict()[name]), name

    start = load(objective, family, encoder_folders[family]).eval()(waveforms).last_hidden_state
    assert (wanted - start).abs().max() > 1e-4  # two updates did something to the features
    if adapter == "lora":
        merged = merge_lora(model)
        merged.save_pretrained(tmp_path / "merged")
        again = type(merged).from_pretrained(tmp_path / "merged").eval()
        torch.testing.assert_close(again(waveforms).last_hidden_state, wanted, rtol=1e-5, atol=1e-5)
