"""LoRA acts on every encoder, WavLM's attention too; what has no effect is refused."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    HubertConfig,
    WavLMConfig,
    WavLMForCTC,
)

from hf_rspin.adapters import (
    AdapterArguments,
    add_lora,
    check_adapter_gradients,
    lora_targets,
    merge_lora,
)
from hf_rspin.adapters.gradients import AdapterGradientError
from hf_rspin.adapters.read import ReadConfig
from hf_rspin.models import (
    LaserModel,
    RSpinHubertConfig,
    RSpinHubertModel,
    RSpinModel,
    RSpinWavLMConfig,
    RSpinWavLMModel,
)
from hf_rspin.models.encoder import FAMILIES

from .conftest import SIZES, build


def train_a_little(model, waveforms, updates=3):
    """Move every parameter that trains by plain gradient steps of some loss."""
    target = torch.randn(model(waveforms).last_hidden_state.shape)
    for _ in range(updates):
        (model(waveforms).last_hidden_state - target).square().sum().backward()
        check_adapter_gradients(model)
        with torch.no_grad():
            for parameter in (p for p in model.parameters() if p.grad is not None):
                parameter -= 0.3 * parameter.grad / (parameter.grad.norm() + 1e-12)
                parameter.grad = None
    return model


@pytest.mark.parametrize("feed_forward", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_target_is_adapted_trained_and_merged(family, feed_forward, waveforms, tmp_path):
    plain = build(family)
    wanted = plain(waveforms).last_hidden_state
    model = add_lora(plain, rank=2, feed_forward=feed_forward)
    torch.testing.assert_close(model(waveforms).last_hidden_state, wanted, rtol=1e-5, atol=2e-6)
    adapted = {name.split(".lora_B")[0] for name, _ in model.named_parameters() if "lora_B" in name}
    for target in lora_targets(family, feed_forward):
        assert sum(name.endswith(target) for name in adapted) >= SIZES["num_hidden_layers"], target
    train_a_little(model, waveforms)
    for name, parameter in model.named_parameters():  # all of them, not some
        if "lora_B" in name and not any(k in name for k in ("k_proj", "key_proj", "linear_k")):
            assert parameter.abs().max() > 0, name
    changed = model.eval()(waveforms).last_hidden_state
    assert (changed - wanted).abs().max() > 0.01
    merged = merge_lora(model)
    assert type(merged) is type(build(family))
    torch.testing.assert_close(merged(waveforms).last_hidden_state, changed, rtol=1e-5, atol=1e-5)
    merged.save_pretrained(tmp_path)  # a plain encoder for everyone
    stock = type(merged).from_pretrained(tmp_path).eval()
    torch.testing.assert_close(stock(waveforms).last_hidden_state, changed, rtol=1e-5, atol=1e-5)


def test_stock_wavlm_bypasses_lora_and_that_is_said(waveforms):
    config = LoraConfig(r=2, target_modules=lora_targets("wavlm"))
    model = get_peft_model(build("wavlm"), config)
    model.base_model.model.feature_extractor.conv_layers[0].conv.weight.requires_grad = True
    model(waveforms).last_hidden_state.sum().backward()
    with pytest.raises(AdapterGradientError, match="Stock WavLM attention bypasses LoRA"):
        check_adapter_gradients(model)


def test_lora_acts_on_wavlm_with_a_ctc_head(waveforms):
    model = add_lora(WavLMForCTC(WavLMConfig(**SIZES)), rank=2, heads=["lm_head"])
    model(waveforms).logits.square().sum().backward()
    check_adapter_gradients(model)
    heads = [n for n, p in model.named_parameters() if "lm_head" in n and p.requires_grad]
    assert heads and all(".modules_to_save." in name for name in heads)


@pytest.mark.parametrize("kind", ["lora", "read"])
def test_a_loss_below_the_adapter_is_refused(kind, waveforms):
    config = RSpinHubertConfig(**SIZES, codebook_size=6, projection_size=8, spin_layer=1)
    model = RSpinHubertModel(config)
    if kind == "lora":
        model = add_lora(model, rank=2, layers=[2], heads=["spin_head"])
    else:
        model = get_peft_model(model, ReadConfig(width=4, modules_to_save=["spin_head"]))
    model(waveforms, perturbed_input_values=waveforms.flip(0)).loss.backward()
    with pytest.raises(AdapterGradientError, match="got a gradient.*spin_layer"):
        check_adapter_gradients(model)


def test_top_layers_only_and_the_rest_runs_frozen(waveforms):
    model = RSpinWavLMModel(RSpinWavLMConfig(**SIZES, codebook_size=6, projection_size=8))
    adapted = AdapterArguments("lora", lora_rank=2).wrap(model, num_trainable_layers=1).train()
    names = [name for name, p in adapted.named_parameters() if p.requires_grad]
    assert names and all("layers.2." in name or "spin_head" in name for name in names)
    layers = model.base_model.encoder.layers
    assert [layer.training for layer in layers] == [False, False, True]
    adapted(waveforms, perturbed_input_values=waveforms.flip(0)).loss.backward()
    check_adapter_gradients(adapted)


@pytest.mark.parametrize("family", FAMILIES)
def test_no_graph_is_kept_of_the_front_end(family, waveforms):
    model = add_lora(build(family), rank=2).train()
    front_end = {p.data_ptr() for p in model.base_model.model.feature_extractor.parameters()}
    saved = set()

    def note(tensor):
        saved.add(tensor.data_ptr())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        model(waveforms).last_hidden_state.sum().backward()
    check_adapter_gradients(model)
    assert saved and not saved & front_end


def test_impossible_arguments_are_refused(waveforms):
    with pytest.raises(ValueError, match="adapter is 'lorra'; expected none, lora, read"):
        AdapterArguments("lorra")
    with pytest.raises(ValueError, match="no LoRA targets are known for a 'whisper' model"):
        lora_targets("whisper")
    with pytest.raises(ValueError, match="num_trainable_layers is 4; expected 1 to 3"):
        AdapterArguments("lora").wrap(build("hubert"), num_trainable_layers=4)
    with pytest.raises(ValueError, match="lora_alpha is 0; expected a number above 0"):
        AdapterArguments("lora", lora_alpha=0)
    for wrong in ("all-linear", "q_prj"):
        with pytest.raises(
            ValueError, match=f"adapt '{wrong}': no linear layer has this name.*q_p"
        ):
            AdapterArguments("lora", lora_targets=["k_proj", wrong]).wrap(build("hubert"))
    with pytest.raises(ValueError, match="expected LoRA, the only one that merges"):
        merge_lora(get_peft_model(build("hubert"), ReadConfig(width=4)))


def test_a_head_without_a_loss_is_not_trained():
    config = RSpinHubertConfig(
        **SIZES, codebook_size=6, projection_size=8, num_pseudo_labels=5, spin_loss_weight=0.0
    )
    model = AdapterArguments("lora").wrap(RSpinHubertModel(config))
    assert model.peft_config["default"].modules_to_save == ["auxiliary_head"]


@pytest.mark.parametrize("model_class", [RSpinModel, LaserModel])
def test_lora_on_all_linear_layers_leaves_the_codebook_alone(model_class, waveforms):
    model = model_class(HubertConfig(**SIZES))
    adapted = get_peft_model(model, LoraConfig(r=2, target_modules="all-linear"))
    assert not any("codebook" in name for name, _ in adapted.named_parameters() if "lora" in name)
    adapted(waveforms, perturbed_input_values=waveforms.flip(0)).loss.backward()
    check_adapter_gradients(adapted)
    with pytest.raises(ValueError, match="Codebook.* is not supported"):
        get_peft_model(RSpinModel(HubertConfig(**SIZES)), LoraConfig(target_modules=["codebook"]))
