"""An encoder that runs as a subnet: equal to itself, to the extracted one, and in gradients."""

import copy

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModel, HubertConfig, HubertModel

from hf_rspin.cost import forward_flops
from hf_rspin.elastic import (
    Subnet,
    extract_subnet,
    running_as,
    save_subnet,
    set_subnet,
    subnet_flops,
    subnet_parameters,
)
from hf_rspin.elastic.slices import full_subnet
from hf_rspin.models import load_encoder
from hf_rspin.models.faster_training import speed_up_training

from .conftest import tiny

KINDS = [
    {},
    {"do_stable_layer_norm": True, "feat_extract_norm": "layer", "conv_bias": True},
    {"feat_proj_layer_norm": False, "mask_time_prob": 0.0, "num_conv_pos_embeddings": 7},
]
PLAIN = [Subnet.uniform(16, 2, 3.5, 3), Subnet.uniform(24, 3, 4.0, 2), Subnet.uniform(32, 4, 3, 3)]
MIXED = Subnet(24, (2, 4, 3), (4.0, 3.0, 3.5))


def states(encoder, waveforms, **options):
    values, mask = waveforms
    with torch.no_grad():
        return encoder(values, mask, output_hidden_states=True, **options).hidden_states


@pytest.mark.parametrize("kind", KINDS)
def test_the_full_subnet_is_the_plain_encoder_bit_for_bit(kind, waveforms):
    encoder = tiny(**kind)
    before = states(encoder, waveforms)
    with running_as(encoder, full_subnet(encoder.config)):
        inside = states(encoder, waveforms)
    set_subnet(encoder, MIXED)
    narrow = states(encoder, waveforms)
    set_subnet(encoder, None)
    after = states(encoder, waveforms)
    assert len(before) == 4 and narrow[-1].shape[-1] == 24
    for one, other, last in zip(before, inside, after, strict=True):
        assert torch.equal(one, other) and torch.equal(one, last)
    assert list(encoder.encoder.layers) == [*encoder.encoder.layers.children()]


@pytest.mark.parametrize("subnet", PLAIN, ids=lambda one: f"{one.width}x{one.depth}")
@pytest.mark.parametrize("kind", KINDS)
def test_a_subnet_is_what_is_extracted_and_costs_what_is_said(kind, subnet, waveforms):
    encoder = tiny(**kind)
    small = extract_subnet(encoder, subnet)
    with running_as(encoder, subnet):
        inside = states(encoder, waveforms)
        flops = forward_flops(encoder, 2.0)
    outside = states(small, waveforms)
    assert len(inside) == len(outside) == subnet.depth + 1
    for one, other in zip(inside, outside, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
    assert small.num_parameters() == subnet_parameters(encoder.config, subnet)
    assert flops == forward_flops(small, 2.0) == 2 * subnet_flops(encoder.config, subnet, 2.0)


def test_figures_of_the_paper_in_closed_form():
    config = HubertConfig()
    full = full_subnet(config)
    assert subnet_parameters(config, full) == 94_371_712  # of transformers' own HubertModel
    assert 10 * subnet_flops(config, full, 10) / 1e9 == pytest.approx(148.133046272, abs=1e-9)
    # "a reduction of 29 % parameters" and "3.5x compression"
    assert subnet_parameters(config, Subnet.uniform(640, 10, 4.0, 12)) / 94.37e6 == pytest.approx(
        0.71, abs=0.005
    )
    assert 94.37e6 / subnet_parameters(config, Subnet.uniform(384, 6, 4.0, 12)) == pytest.approx(
        3.5, abs=0.05
    )
    with pytest.raises(ValueError, match="seconds is 0.01, less than one frame"):
        subnet_flops(config, full, 0.01)


def test_mixed_layers_are_what_a_hand_written_layer_gives(encoder, waveforms):
    """The second layer of a subnet that is no plain encoder, written out."""
    with running_as(encoder, MIXED):
        found = states(encoder, (waveforms[0], None))
    layer, x = encoder.encoder.layers[1], found[1]
    linear, heads = torch.nn.functional.linear, 4
    with torch.no_grad():
        query, key, value = (
            linear(x, one.weight[:32, :24], one.bias[:32]).unflatten(-1, (heads, 8)).transpose(1, 2)
            for one in (layer.attention.q_proj, layer.attention.k_proj, layer.attention.v_proj)
        )
        weights = (query @ key.mT / 8**0.5).softmax(-1)
        context = (weights @ value).transpose(1, 2).flatten(2)
        out = layer.attention.out_proj
        x = x + linear(context, out.weight[:24, :32], out.bias[:24])
        norms = [torch.nn.LayerNorm(24) for _ in range(2)]
        for norm, full in zip(norms, (layer.layer_norm, layer.final_layer_norm), strict=True):
            norm.weight.copy_(full.weight[:24])
            norm.bias.copy_(full.bias[:24])
        x = norms[0](x)
        first, second = layer.feed_forward.intermediate_dense, layer.feed_forward.output_dense
        inner = torch.nn.functional.gelu(linear(x, first.weight[:72, :24], first.bias[:72]))
        x = norms[1](x + linear(inner, second.weight[:24, :72], second.bias[:24]))
    torch.testing.assert_close(x, found[2], rtol=1e-5, atol=1e-5)


def test_the_positional_convolution_keeps_its_groups(encoder, waveforms):
    """Channels of a group are neighbours in the subnet, and see the front of their weights."""
    weight = encoder.encoder.pos_conv_embed.conv.weight.detach()
    small = extract_subnet(encoder, PLAIN[0]).encoder.pos_conv_embed.conv
    assert small.groups == 4 and small.weight.shape == (16, 4, 8)
    torch.testing.assert_close(small.weight.detach(), weight[:16, :4], rtol=1e-6, atol=1e-7)


def test_gradients_flow_into_the_front_alone(encoder, waveforms):
    with running_as(encoder, MIXED):
        encoder(*waveforms).last_hidden_state.square().sum().backward()
    layer = encoder.encoder.layers[0]
    gradient = layer.feed_forward.intermediate_dense.weight.grad
    assert (gradient[:96, :24] != 0).all()
    assert not gradient[96:].any() and not gradient[:, 24:].any()
    assert not layer.attention.q_proj.weight.grad[16:].any()
    gradient = encoder.encoder.pos_conv_embed.conv.parametrizations.weight.original1.grad
    assert gradient.any() and not encoder.feature_projection.projection.weight.grad[24:].any()


def test_gradients_are_those_of_the_extracted_one(encoder, waveforms):
    """With gradient checkpointing too, whose backward runs when the forward is over."""
    subnet = PLAIN[1]
    small = extract_subnet(encoder, subnet)
    small(*waveforms).last_hidden_state.square().sum().backward()
    name = "encoder.layers.1.attention.v_proj.weight"
    wanted = small.get_parameter(name).grad
    for checkpointing in (False, True):
        one = speed_up_training(copy.deepcopy(encoder)).train()
        for module in one.modules():
            module.p = 0.0 if isinstance(module, torch.nn.Dropout) else getattr(module, "p", 0)
        one.config.attention_dropout = one.config.mask_time_prob = 0.0
        for layer in one.encoder.layers.children():
            layer.attention.dropout = 0.0
        if checkpointing:
            one.gradient_checkpointing_enable()
        set_subnet(one, subnet)
        one(*waveforms).last_hidden_state.square().sum().backward()
        found = one.get_parameter(name).grad
        torch.testing.assert_close(found[:24, :24], wanted, rtol=1e-4, atol=1e-4)
        assert one.get_parameter("encoder.layers.2.attention.v_proj.weight").grad is None


def test_masked_frames_get_the_front_of_the_embedding(encoder, waveforms):
    encoder.config.apply_spec_augment = True
    hidden = torch.zeros(2, 12, dtype=torch.bool)
    hidden[:, 3:7] = True
    small = extract_subnet(encoder, PLAIN[0])
    small.config.apply_spec_augment = True
    with running_as(encoder, PLAIN[0]):
        inside = states(encoder, waveforms, mask_time_indices=hidden)
        plain = states(encoder, waveforms)
    outside = states(small, waveforms, mask_time_indices=hidden)
    torch.testing.assert_close(inside[-1], outside[-1], rtol=1e-5, atol=1e-5)
    assert not torch.allclose(inside[-1], plain[-1], atol=1e-3)


def test_padding_changes_nothing_of_what_is_valid(waveforms):
    encoder = tiny(**KINDS[1])  # a group norm over time would see it
    values, mask = waveforms
    with running_as(encoder, MIXED), torch.no_grad():
        both = encoder(values, mask).last_hidden_state[1, :7]
        alone = encoder(values[1:, :2500]).last_hidden_state[0]
    torch.testing.assert_close(both, alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("subnet", "reason"),
    [
        (MIXED, "layer 1 of 3 has 2 heads of 8 dimensions, 16 in all; .* width 24 needs 3 in"),
        (Subnet(24, (3, 3, 3), (3.0, 3.0, 4.0)), "layer 3 of 3 has the feed-forward ratio 4 and"),
        (Subnet.uniform(20, 2, 3.0, 2), "width 20 needs 2.5 in every layer"),
        (Subnet.uniform(40, 5, 3.0, 2), r"too small for the subnet: .*projection would be \(40"),
        (Subnet.uniform(32, 4, 4.0, 4), "too small for the subnet: encoder.layers.3"),
    ],
)
def test_what_cannot_be_extracted_is_explained(encoder, subnet, reason, waveforms):
    before = states(encoder, waveforms)
    with pytest.raises(ValueError, match=reason):
        extract_subnet(encoder, subnet)
    assert torch.equal(states(encoder, waveforms)[-1], before[-1])


def test_an_encoder_with_an_adapter_is_refused_until_it_is_merged(waveforms):
    adapted = get_peft_model(
        tiny(), LoraConfig(target_modules=["q_proj", "output_dense"], init_lora_weights=False)
    )
    for use in (set_subnet, extract_subnet):
        with pytest.raises(ValueError, match="wrapped by an adapter .*: merge the adapter first"):
            use(adapted.get_base_model(), MIXED)
    late = tiny()
    set_subnet(late, MIXED)
    get_peft_model(late, LoraConfig(target_modules=["q_proj"]))
    set_subnet(late, None)
    assert states(late, waveforms)[-1].shape[-1] == late.config.hidden_size
    merged = adapted.merge_and_unload().eval()
    small = extract_subnet(merged, PLAIN[0])
    with running_as(merged, PLAIN[0]):
        inside = states(merged, waveforms)
    torch.testing.assert_close(states(small, waveforms)[-1], inside[-1])


def test_a_width_that_the_positional_convolution_cannot_have_is_refused(encoder):
    groups = encoder.config.num_conv_pos_embedding_groups
    encoder.config.num_conv_pos_embedding_groups = 5
    for use in (set_subnet, extract_subnet):
        with pytest.raises(ValueError, match="width 24 is not divided by the 5 groups"):
            use(encoder, MIXED)
    encoder.config.num_conv_pos_embedding_groups = groups


def test_what_runs_inside_or_is_extracted_leaves_the_subnet_as_it_was(encoder, waveforms):
    set_subnet(encoder, MIXED)
    before = states(encoder, waveforms)
    with running_as(encoder, PLAIN[0]):
        assert states(encoder, waveforms)[-1].shape[-1] == 16
    extract_subnet(encoder, {"width": 24, "heads": 3, "ratios": 4, "depth": 2})
    for one, other in zip(before, states(encoder, waveforms), strict=True):
        assert torch.equal(one, other)
    set_subnet(encoder, None)


def test_a_saved_subnet_is_a_plain_encoder(encoder, tmp_path, waveforms):
    subnet = PLAIN[1]
    encoder.config.teacher_dim = 5  # what a run leaves in a config does not travel
    save_subnet(encoder, subnet, tmp_path, normalize=True)
    model, report = AutoModel.from_pretrained(tmp_path, output_loading_info=True)
    assert type(model) is HubertModel
    assert not report["missing_keys"] and not report["unexpected_keys"]
    assert model.num_parameters() == subnet_parameters(encoder.config, subnet)
    config = model.config.to_dict()
    assert (config["hidden_size"], config["num_hidden_layers"], config["intermediate_size"],
            config["num_attention_heads"]) == (24, 2, 96, 3)  # fmt: skip
    assert config["apply_spec_augment"] is False
    assert not {"auto_map", "teacher_dim"} & config.keys()
    assert '"do_normalize": true' in (tmp_path / "preprocessor_config.json").read_text()
    with running_as(encoder, subnet):
        wanted = states(encoder, waveforms)[-1]
    found = states(load_encoder(tmp_path), waveforms)[-1]
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def test_random_subnets_keep_the_encoder(encoder, space, waveforms):
    """Whatever ran before, a subnet is the same."""
    generator = np.random.default_rng(0)
    drawn = [space.sample(generator) for _ in range(6)]
    first = {}
    for subnet in [*drawn, *reversed(drawn)]:
        set_subnet(encoder, subnet)
        last = states(encoder, waveforms)[-1]
        assert last.shape[-1] == subnet.width and last.isfinite().all()
        assert torch.equal(first.setdefault(subnet, last), last)
