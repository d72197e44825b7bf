"""MR-HuBERT: its parts by their formulas, padding, hidden states, freezing, what is refused."""

import copy
import subprocess
import sys

import pytest
import torch
from torch import nn
from transformers import AutoModelForCTC

from hf_rspin import MRHubertConfig, MRHubertModel
from hf_rspin.evaluation import load_features
from hf_rspin.models import RSpinModel, load_encoder
from hf_rspin.models.backbones.mr_hubert_configuration import VARIANTS
from hf_rspin.models.backbones.mr_hubert_sampling import MaskedGroupNorm, SamplingModule
from hf_rspin.models.encoder import layers_of, mixes_padding

from .conftest import SIZES

SIX = SIZES | {"num_hidden_layers": 6}
# each with the blocks that six layers make of it
KINDS = {
    "two": {},
    "three": {"resolution_strides": (4, 2, 1)},
    "uneven": {"resolution_strides": (5, 2, 1)},
    "simple": {"simple_sampling": True},
    "equal": {"resolution_strides": (1, 1)},
    "pre-norm": {"do_stable_layer_norm": True},
    "layer front": {"feat_extract_norm": "layer", "do_stable_layer_norm": True},
}


def build(kind="two", **options):
    torch.manual_seed(0)
    model = MRHubertModel(MRHubertConfig(**(SIX | KINDS[kind] | options))).eval()
    for parameter in model.parameters():  # norms that start at 1 and 0 would hide one another
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model


def noise(samples, batch=1):
    return 0.3 * torch.randn(batch, samples, generator=torch.Generator().manual_seed(1))


# The config


def test_the_base_model_has_the_published_size():
    with torch.device("meta"):
        model = MRHubertModel(MRHubertConfig.variant("base"))
    assert round(model.num_parameters() / 1e6, 2) == 96.74
    assert len(layers_of(model)) == 12


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_of_the_paper_runs(name):
    small = {n: v for n, v in SIZES.items() if n != "num_hidden_layers"}
    config = MRHubertConfig.variant(name, **small)
    output = MRHubertModel(config).eval()(noise(8000))
    assert config.num_hidden_layers == (10 if name == "B2-c" else 12)
    assert config.num_predictions == (1 if name == "B4-a" else len(config.resolution_strides))
    frames = 24
    found = [states.shape[1] for states in output.resolution_outputs]
    assert found == [-(-frames // stride) for stride in config.resolution_strides]
    again = MRHubertConfig.from_dict(config.to_dict())
    assert again.block_layers == config.block_layers
    assert again.to_dict() == config.to_dict()


def test_layers_are_split_evenly():
    splits = {n: MRHubertConfig(num_hidden_layers=n).block_layers for n in (3, 4, 8, 12)}
    assert splits == {3: (1, 1, 1), 4: (1, 2, 1), 8: (3, 3, 2), 12: (4, 4, 4)}
    assert MRHubertConfig(block_layers=[1, 2, 1]).num_hidden_layers == 4


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_hidden_layers": 2}, r"block_layers are \[1, 1, 0\]|\[0, 1, 1\]; expected 3 blocks"),
        ({"block_layers": (2, 2)}, "expected 3 blocks of at least one layer for 2 resolutions"),
        ({"block_layers": (1, 1, 1), "num_hidden_layers": 6}, r"is 6, but block_layers .* have 3"),
        ({"resolution_strides": (1,)}, r"resolution_strides are \[1\]; expected at least two"),
        ({"resolution_strides": (1, 2)}, r"\[1, 2\]; expected at least two whole .* fall to 1"),
        ({"resolution_strides": ()}, r"resolution_strides are \[\]; expected at least two"),
        ({"resolution_strides": (51, 1)}, r"are \[51, 1\]; expected at most 50 frames of 20 ms"),
        ({"hidden_size": 0}, "hidden_size is 0; expected at least 1"),
        ({"intermediate_size": -3}, "intermediate_size is -3; expected at least 1"),
        ({"num_attention_heads": 0}, "num_attention_heads is 0; expected at least 1"),
        ({"num_attention_heads": 5}, "768 and num_attention_heads 5; expected a divisor of it"),
        ({"num_conv_pos_embedding_groups": 7}, "embedding_groups 7; expected a divisor of it"),
        ({"num_conv_pos_embeddings": 0}, "num_conv_pos_embeddings is 0; expected at least 1"),
        ({"layerdrop": 5.0}, "layerdrop is 5.0; expected 0 to 1"),
        ({"mask_time_prob": -0.1}, "mask_time_prob is -0.1; expected 0 to 1"),
        ({"mask_feature_prob": float("nan")}, "mask_feature_prob is nan; expected 0 to 1"),
        ({"resolution_strides": (5, 2, 1), "simple_sampling": True}, "is no multiple of the next"),
        ({"num_predictions": 3}, r"num_predictions is 3; expected 1 .* or 2"),
        ({"feature_set": "mine"}, "feature_set is 'mine'; expected one of default, superb"),
    ],
)
def test_a_config_that_cannot_be_built_is_refused(fields, message):
    with pytest.raises(Exception, match=message):
        MRHubertConfig(**fields)


def test_an_unknown_variant_is_refused():
    with pytest.raises(ValueError, match="got variant 'B6'; expected one of base, B1-a"):
        MRHubertConfig.variant("B6")


# Its parts


@pytest.mark.parametrize("ratio", [(1, 2), (2, 1), (2, 5), (5, 2), (1, 1)])
@pytest.mark.parametrize("frames", [1, 4, 5])
def test_the_sampling_module_is_its_formula(ratio, frames):
    up, down = ratio
    module = SamplingModule(6, ratio, rising=up > down, simple=False, masked=False)
    x = torch.randn(2, frames, 6)
    repeated = x[:, [t // up for t in range(up * frames)]]
    spread = torch.zeros_like(repeated)
    spread[:, ::up] = x @ module.up_conv.weight[..., 0]  # a transposed convolution of size 1
    c = 0.4**0.5
    a = c * (gelu_of_norm(spread) + repeated)
    b = c * (gelu_of_norm(a[:, ::down] @ module.down_conv.weight[..., 0].T) + a[:, ::down])
    wanted = c * (b + repeated[:, ::down])
    found, mask = module(x, None)
    torch.testing.assert_close(found, wanted)
    assert found.shape[1] == -(-frames * up // down) and mask is None


def gelu_of_norm(states):
    mean, variance = states.mean((1, 2), keepdim=True), states.var((1, 2), False, keepdim=True)
    return nn.functional.gelu((states - mean) / torch.sqrt(variance + 1e-5))


def test_simple_sampling_has_one_convolution():
    c = 0.4**0.5
    x = torch.randn(2, 5, 6)
    down = SamplingModule(6, (1, 2), rising=False, simple=True, masked=False)
    wanted = c * (gelu_of_norm(x[:, ::2] @ down.down_conv.weight[..., 0].T) + x[:, ::2])
    torch.testing.assert_close(down(x, None)[0], wanted)
    up = SamplingModule(6, (2, 1), rising=True, simple=True, masked=False)
    spread = torch.zeros(2, 10, 6)
    spread[:, ::2] = x @ up.up_conv.weight[..., 0]
    wanted = c * (gelu_of_norm(spread) + x.repeat_interleave(2, dim=1))
    torch.testing.assert_close(up(x, None)[0], wanted)
    assert {n.split(".")[0] for n in down.state_dict()} == {"down_conv", "down_norm"}
    assert {n.split(".")[0] for n in up.state_dict()} == {"up_conv", "up_norm"}


@pytest.mark.parametrize("groups", [1, 2, 6])
def test_the_masked_norm_is_that_of_the_valid_part(groups):
    norm = MaskedGroupNorm(groups, 6)
    nn.init.normal_(norm.weight)
    x = torch.randn(2, 6, 9)
    mask = torch.arange(9) < torch.tensor([[9], [4]])
    found = norm(x, mask)
    torch.testing.assert_close(found[:1], norm(x[:1]))
    torch.testing.assert_close(found[1:, :, :4], norm(x[1:, :, :4]))
    norm, x = norm.double(), x.double().requires_grad_()
    assert torch.isfinite(torch.autograd.grad(norm(x, mask).square().sum(), x)[0]).all()


# Padding


@pytest.mark.parametrize("kind", KINDS)
def test_a_padded_utterance_gives_what_it_gives_alone(kind):
    model, waveforms = build(kind), noise(7000, batch=6)
    lengths = [7000, 400, 500, 720, 1040, 5999]  # 21, 1, 1, 2, 3 and 18 frames
    mask = (torch.arange(7000) < torch.tensor(lengths)[:, None]).long()
    with torch.no_grad():
        together = model(waveforms * mask, mask, output_hidden_states=True)
        for row, length in enumerate(lengths):
            alone = model(waveforms[row : row + 1, :length], output_hidden_states=True)
            for name in ("hidden_states", "resolution_outputs"):
                for ours, wanted in zip(together[name], alone[name], strict=True):
                    torch.testing.assert_close(
                        ours[row, : wanted.shape[1]], wanted[0], rtol=1e-4, atol=2e-5
                    )
    assert not mixes_padding(model.config)


def test_the_norms_of_the_public_code_count_padding():
    masked, waveform = build("layer front"), noise(7000)
    public = build("layer front", masked_group_norm=False)
    mask = (torch.arange(14000) < 7000)[None].long()
    padded = nn.functional.pad(waveform, (0, 7000))
    with torch.no_grad():
        alone = public(waveform).last_hidden_state
        torch.testing.assert_close(masked(waveform).last_hidden_state, alone)
        found = [m(padded, mask).last_hidden_state[:, :21] for m in (masked, public)]
    torch.testing.assert_close(found[0], alone, rtol=1e-4, atol=2e-5)
    assert (found[1] - alone).norm() > 0.02 * alone.norm()
    assert mixes_padding(public.config)


def test_the_public_code_counts_frames_by_equal_parts_of_the_batch():
    model = build("layer front", masked_group_norm=False)
    mask = (torch.arange(8000) < torch.tensor([[8000], [6100], [333], [334]])).long()
    found = model._get_feature_vector_attention_mask(24, mask)  # parts of 8000 // 24 = 333 samples
    assert found.sum(dim=1).tolist() == [24, 19, 1, 2]
    ours = build("layer front")._get_feature_vector_attention_mask(24, mask)
    assert ours.sum(dim=1).tolist() == [24, 18, 1, 1]


def test_what_is_too_short_for_a_frame_is_finite():
    mask = (torch.arange(4000) < torch.tensor([[4000], [3]])).long()
    assert torch.isfinite(build()(noise(4000, batch=2), mask).last_hidden_state).all()


# Hidden states


@pytest.mark.parametrize("kind", KINDS)
def test_the_outputs_of_all_resolutions_are_among_the_hidden_states(kind):
    model = build(kind)
    output = model(noise(7000), output_hidden_states=True)
    config, states = model.config, output.hidden_states
    assert len(states) == 7 and {state.shape for state in states} == {(1, 21, 16)}
    assert torch.equal(states[-1], output.last_hidden_state)
    assert torch.equal(output.resolution_outputs[-1], output.last_hidden_state)
    ends = [sum(config.block_layers[: b + 1]) for b in range(config.num_blocks)]
    ends = ends[config.num_blocks // 2 :]
    for end, stride, low in zip(ends, config.resolution_strides, output.resolution_outputs,
                                strict=True):  # fmt: skip
        assert torch.equal(states[end], low.repeat_interleave(stride, dim=1)[:, :21])


@pytest.mark.parametrize("kind", KINDS)
def test_superb_has_the_inputs_of_layers_and_the_outputs_of_blocks(kind):
    model = build(kind)
    inputs, config = [], model.config
    for layer in layers_of(model):
        layer.register_forward_pre_hook(lambda module, given: inputs.append(given[0]))
    superb = model(noise(7000), output_hidden_states=True, feature_set="superb")
    ours = model(noise(7000), output_hidden_states=True)
    torch.testing.assert_close(superb.last_hidden_state, ours.last_hidden_state)
    states, seen = list(superb.hidden_states), iter(inputs)
    assert len(states) == 6 + config.num_blocks
    for count, stride in zip(config.block_layers, config.block_strides, strict=True):
        for _ in range(count):
            wanted = next(seen).repeat_interleave(stride, dim=1)[:, :21]
            assert torch.equal(states.pop(0), wanted)
        last = states.pop(0)
    # on the way up the sum with what came down is left out
    first = superb.hidden_states[config.block_layers[0]]
    torch.testing.assert_close(last + first, ours.last_hidden_state)


def test_only_what_is_asked_for_is_returned():
    model, waveform = build(), noise(7000)
    whole = model(waveform, output_hidden_states=True).hidden_states
    some = model(waveform, output_hidden_states=[2, -1]).hidden_states
    assert [state is not None for state in some] == [False, False, True, False, False, False, True]
    assert torch.equal(some[2], whole[2]) and torch.equal(some[6], whole[6])
    assert model(waveform).hidden_states is None
    assert len(model(waveform, return_dict=False)) == 2


def test_the_house_reads_both_feature_sets(tmp_path):
    build().save_pretrained(tmp_path / "ours")
    build(feature_set="superb").save_pretrained(tmp_path / "superb")
    ours, superb = (load_features(tmp_path / name, bf16=False) for name in ("ours", "superb"))
    assert (ours.num_layers, superb.num_layers) == (7, 9)
    waveform = noise(7000)[0].numpy()
    assert ours(waveform).shape == (7, 21, 16) and superb(waveform).shape == (9, 21, 16)
    assert RSpinModel.from_pretrained(tmp_path / "superb").config.feature_set == "default"
    with pytest.raises(Exception, match="feature_set is 'superb'; expected 'default': heads"):
        RSpinModel.from_pretrained(tmp_path / "superb", feature_set="superb")


# Masked frames, training


def test_masked_frames_hide_the_waveform():
    model = build(apply_spec_augment=False)
    mask = torch.ones(1, 21, dtype=torch.bool)
    hidden = [model(noise(7000) * s, mask_time_indices=mask).last_hidden_state for s in (1, 2)]
    assert torch.equal(*hidden)
    mask[0, 3] = False
    seen = [model(noise(7000) * s, mask_time_indices=mask).last_hidden_state for s in (1, 2)]
    assert not torch.equal(*seen)
    with pytest.raises(ValueError, match=r"have shape \(1, 20\); expected .* = \(1, 21\)"):
        model(noise(7000), mask_time_indices=mask[:, 1:])
    with pytest.raises(ValueError, match="no embedding of masked frames: build it with mask_time"):
        build(mask_time_prob=0.0)(noise(7000), mask_time_indices=mask)


def test_maps_of_attention_are_refused():
    with pytest.raises(ValueError, match="output_attentions is True; expected False"):
        build()(noise(7000), output_attentions=True)


def test_gradient_checkpointing_and_layer_drop():
    model = build(**{f"{n}_dropout": 0.0 for n in ("hidden", "attention", "feat_proj")},
                  layerdrop=0.0, apply_spec_augment=False)  # fmt: skip
    other = copy.deepcopy(model)
    other.gradient_checkpointing_enable()
    mask = torch.ones(1, 7000, dtype=torch.long)
    for one in (model, other):
        one.train()(noise(7000), mask).last_hidden_state.square().sum().backward()
    for wanted, found in zip(model.parameters(), other.parameters(), strict=True):
        if wanted.grad is not None:
            torch.testing.assert_close(found.grad, wanted.grad)
    model.config.layerdrop = 1.0
    output = model(noise(7000), output_hidden_states=True)
    assert len(output.hidden_states) == 7  # what is dropped hands on its input
    assert torch.equal(output.hidden_states[0], output.hidden_states[1])


@pytest.mark.parametrize("kind", ["two", "three", "pre-norm"])
def test_what_lies_below_and_above_a_layer(kind):
    model = build(kind, mask_time_prob=0.0)
    inputs = []
    for layer in layers_of(model):
        layer.register_forward_pre_hook(lambda module, given: inputs.append(given[0]))
    states = model(noise(7000), output_hidden_states=True).hidden_states
    for count in range(6):
        below = {id(p) for m in model.encoder.modules_below(count) for p in m.parameters()}
        assert below == reached(model, inputs[count])
    everything = {id(p) for p in model.encoder.parameters()}
    for count in range(7):
        above = {id(p) for m in model.encoder.modules_above(count) for p in m.parameters()}
        assert everything - above == reached(model, states[count])


def reached(model, states):
    """The parameters of the blocks that a state depends on."""
    parameters = list(model.encoder.parameters())
    found = torch.autograd.grad(states.sum(), parameters, retain_graph=True, allow_unused=True)
    return {id(p) for p, grad in zip(parameters, found, strict=True) if grad is not None}


def test_a_head_on_a_middle_layer_asks_nothing_of_the_layers_above():
    model = RSpinModel(RSpinModel.with_fields(build().config, spin_layer=3)).train()
    views = noise(7000, batch=2)
    model(views, perturbed_input_values=views.flip(0)).loss.backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
    assert not any(p.requires_grad for p in model.base_model.encoder.sampling[1].parameters())


# Folders


def test_a_folder_loads_in_a_process_without_the_package(tmp_path):
    model = build("three")
    model.save_pretrained(tmp_path / "plain")
    loaded = load_encoder(tmp_path / "plain")
    assert type(loaded) is MRHubertModel
    with torch.no_grad():
        states = model(noise(7000)).last_hidden_state
        torch.testing.assert_close(loaded(noise(7000)).last_hidden_state, states)
    torch.save({"waveforms": noise(7000), "states": states}, tmp_path / "given.pt")
    run = subprocess.run(
        [sys.executable, "-c", STRANGER, str(tmp_path)], capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 0, run.stderr[-2000:]


STRANGER = """
import sys
sys.modules["hf_rspin"] = None  # not installed here
import torch
from transformers import AutoModel, AutoModelForCTC
folder = sys.argv[1]
given = torch.load(folder + "/given.pt")
for name, next_name in (("plain", "again"), ("again", "third")):
    model = AutoModel.from_pretrained(f"{folder}/{name}", trust_remote_code=True).eval()
    found = model(given["waveforms"]).last_hidden_state
    torch.testing.assert_close(found, given["states"], rtol=1e-5, atol=1e-5)
    model.save_pretrained(f"{folder}/{next_name}")
AutoModelForCTC.from_pretrained(f"{folder}/plain", trust_remote_code=True, vocab_size=5)
"""


def test_a_recogniser_of_a_model_with_heads(tmp_path):
    model = RSpinModel(build().config).eval()
    model.save_pretrained(tmp_path)
    recogniser = AutoModelForCTC.from_pretrained(tmp_path, vocab_size=5)
    output = recogniser(noise(7000), labels=torch.tensor([[1, 2, 3]]))
    assert output.logits.shape == (1, 21, 5) and torch.isfinite(output.loss)
    states = recogniser.eval().hubert(noise(7000)).last_hidden_state
    torch.testing.assert_close(states, model(noise(7000)).last_hidden_state)
