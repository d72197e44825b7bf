"""READ is a method of peft: made, saved, loaded, disabled; and it is the paper's recurrence."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from peft import PeftConfig, PeftModel, get_peft_model
from torch import nn
from transformers import (
    HubertConfig,
    HubertForCTC,
    SEWConfig,
    SEWModel,
    Trainer,
    TrainingArguments,
)

from hf_rspin.adapters import ReadConfig, add_lora
from hf_rspin.adapters.read import ReadEncoder
from hf_rspin.adapters.side_network import SideNetwork

from .conftest import SIZES, build

FAMILIES = ("hubert", "wavlm", "wav2vec2", "data2vec-audio", "unispeech-sat")
STABLE = {"do_stable_layer_norm": True, "feat_extract_norm": "layer"}


def disturb(model):
    """Move what trains away from its start."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model


@pytest.mark.parametrize(("width", "count"), [(64, 211_584), (128, 445_440), (256, 986_880)])
def test_the_number_of_parameters_at_base_size(width, count):
    assert sum(p.numel() for p in SideNetwork(768, width).parameters()) == count


@pytest.mark.parametrize("reduction", ["mean", "last"])
def test_the_recurrence_against_a_loop_over_layers_and_frames(reduction):
    torch.manual_seed(0)
    network = disturb(SideNetwork(6, 4, reduction)).double()
    layers = [torch.randn(2, 3, 6, dtype=torch.float64) for _ in range(5)]
    cell = nn.GRUCell(6, 4).double()
    with torch.no_grad():
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            getattr(cell, name).copy_(getattr(network.recurrence, f"{name}_l0"))
        for row in range(2):
            for frame in range(3):
                state, states = torch.zeros(1, 4, dtype=torch.float64), []
                for layer in layers:
                    state = cell(network.norm(layer[row, frame])[None], state)
                    states.append(state[0])
                summary = torch.stack(states).mean(0) if reduction == "mean" else states[-1]
                wanted = network.output(summary)
                torch.testing.assert_close(network(layers)[row, frame], wanted)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("options", [{}, STABLE], ids=["post-norm", "pre-norm"])
def test_identity_gradients_saving_and_disabling(family, options, waveforms, tmp_path):
    if family == "data2vec-audio":
        options = {}  # has one form only
    plain = build(family, **options)
    wanted = plain(waveforms).last_hidden_state
    model = get_peft_model(plain, ReadConfig(width=8)).train()
    # in training mode as well; stock WavLM rounds otherwise where gradients are off
    found = model(waveforms).last_hidden_state
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=2e-6)

    model(waveforms).last_hidden_state.square().mean().backward()
    trainable = {name: p.grad for name, p in model.named_parameters() if p.requires_grad}
    assert all("read_network" in name for name in trainable)
    assert all(grad is not None for grad in trainable.values())
    assert any(grad.any() for grad in trainable.values())

    changed = disturb(model).eval()(waveforms).last_hidden_state
    assert (changed - wanted).abs().max() > 0.01
    model.save_pretrained(tmp_path)
    loaded = PeftModel.from_pretrained(build(family, **options), tmp_path)
    assert not any(p.requires_grad for p in loaded.parameters())
    torch.testing.assert_close(loaded(waveforms).last_hidden_state, changed)
    with loaded.disable_adapter():
        found = loaded(waveforms).last_hidden_state
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=2e-6)
    again = PeftModel.from_pretrained(build(family, **options), tmp_path, is_trainable=True)
    assert {n for n, p in again.named_parameters() if p.requires_grad} == set(trainable)
    with pytest.raises(ValueError, match="READ cannot be merged"):
        loaded.merge_and_unload()
    found = loaded.unload()(waveforms).last_hidden_state
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=2e-6)


def test_the_correction_is_of_all_layers_and_scaled(waveforms):
    model = disturb(get_peft_model(build(), ReadConfig(width=8, scale=0.25)))
    output = model(waveforms, output_hidden_states=True)
    states = output.hidden_states  # those of the backbone: the input of the first layer and all
    network = model.base_model.model.encoder.read_network["default"]
    torch.testing.assert_close(output.last_hidden_state, states[-1] + 0.25 * network(states))


def test_no_graph_is_kept_of_the_backbone(waveforms):
    model = disturb(get_peft_model(build(), ReadConfig(width=8))).train()
    saved = []

    def note(tensor):
        saved.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        model(waveforms).last_hidden_state.sum().backward()
    weights = {p.data_ptr() for name, p in model.named_parameters() if "read_network" not in name}
    assert not any(tensor.data_ptr() in weights for tensor in saved)
    frames = model(waveforms).last_hidden_state.shape[1]
    assert not any(tensor.shape[-2:] == (frames, frames) for tensor in saved)  # no attention map
    modes = {name: module.training for name, module in model.named_modules()}
    assert modes["base_model.model.encoder.read_network.default"]
    assert not modes["base_model.model.feature_extractor"]
    assert not modes["base_model.model.encoder.base_layer.layers.0.dropout"]


def test_two_adapters_take_turns(waveforms):
    model = disturb(get_peft_model(build(), ReadConfig(width=8)))
    first = model(waveforms).last_hidden_state
    model.add_adapter("other", ReadConfig(width=4))
    assert torch.equal(model(waveforms).last_hidden_state, first)  # added, not active
    model.set_adapter("other")
    with model.disable_adapter():
        plain = model(waveforms).last_hidden_state
    assert torch.equal(model(waveforms).last_hidden_state, plain)  # fresh: the identity
    model.set_adapter("default")
    assert torch.equal(model(waveforms).last_hidden_state, first)


def test_a_head_trains_and_is_saved_beside(waveforms, tmp_path):
    torch.manual_seed(0)
    plain = HubertForCTC(HubertConfig(**SIZES, vocab_size=9))
    model = get_peft_model(plain, ReadConfig(width=8, modules_to_save=["lm_head"]))
    logits = disturb(model).eval()(waveforms).logits
    model.save_pretrained(tmp_path)
    torch.manual_seed(0)
    fresh = HubertForCTC(HubertConfig(**SIZES, vocab_size=9))
    loaded = PeftModel.from_pretrained(fresh, tmp_path)
    torch.testing.assert_close(loaded(waveforms).logits, logits)
    assert PeftConfig.from_pretrained(tmp_path).width == 8


@pytest.mark.parametrize("kind", ["lora", "read"])
def test_a_head_of_other_classes_than_the_folder_says_is_saved(
    kind, waveforms, encoder_folders, tmp_path
):
    def load():  # the folder's config has 32 classes: peft would look for embeddings of words
        torch.manual_seed(0)
        return HubertForCTC.from_pretrained(encoder_folders["hubert"], vocab_size=9)

    if kind == "read":
        model = get_peft_model(load(), ReadConfig(width=8, modules_to_save=["lm_head"]))
    else:
        model = add_lora(load(), rank=2, heads=["lm_head"])
    model = disturb(model)
    examples = [{"input_values": 0.1 * torch.randn(6400), "labels": [1, 2, 3]} for _ in range(4)]
    arguments = TrainingArguments(
        str(tmp_path), max_steps=2, save_steps=2, use_cpu=True, disable_tqdm=True, report_to="none"
    )
    Trainer(model, arguments, train_dataset=examples).train()  # of transformers itself
    logits = model.eval()(waveforms).logits
    loaded = PeftModel.from_pretrained(load(), tmp_path / "checkpoint-2").eval()
    torch.testing.assert_close(loaded(waveforms).logits, logits)


def test_threads_that_share_a_model_do_not_mix_their_layers():
    model = disturb(get_peft_model(build(), ReadConfig(width=8)))
    waveforms = [0.1 * torch.randn(1, 6400 + 320 * index) for index in range(16)]

    @torch.inference_mode()
    def run(waveform):
        return model(waveform).last_hidden_state

    alone = [run(waveform) for waveform in waveforms]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(run, waveforms))
    for one, other in zip(alone, together, strict=True):
        torch.testing.assert_close(one, other)


def test_half_precision_backbones_and_autocast(waveforms):
    model = get_peft_model(build().bfloat16(), ReadConfig(width=8))
    output = disturb(model)(waveforms.bfloat16()).last_hidden_state
    assert output.dtype == torch.bfloat16 and torch.isfinite(output).all()
    model = disturb(get_peft_model(build(), ReadConfig(width=8))).train()
    with torch.autocast("cpu", torch.bfloat16):
        model(waveforms).last_hidden_state.float().sum().backward()


@pytest.mark.parametrize(
    ("values", "message"),
    [({"width": 0}, "width is 0"), ({"width": 1.5}, "width is 1.5"), ({"scale": 0}, "scale is 0"),
     ({"reduction": "sum"}, "reduction is 'sum'; expected mean or last")],
)  # fmt: skip
def test_impossible_settings_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        ReadConfig(**values)


def test_an_encoder_of_two_frame_rates_is_refused():
    config = SEWConfig(**{**SIZES, "conv_dim": (8,) * 13})
    with pytest.raises(ValueError, match="SEWEncoder, which READ cannot run"):
        get_peft_model(SEWModel(config), ReadConfig())


def test_the_stack_is_seen_through():
    model = get_peft_model(build(), ReadConfig(width=8))
    encoder = model.base_model.model.encoder
    assert isinstance(encoder, ReadEncoder)
    assert len(encoder.layers) == SIZES["num_hidden_layers"]
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = encoder.no_such_name
