"""Spaces of subnets: what they hold, what they refuse, how they are written."""

import json

import numpy as np
import pytest
from transformers import HubertConfig, WavLMConfig

from hf_rspin.elastic import SPACES, Subnet, SubnetSpace, draw_subnet
from hf_rspin.elastic.slices import check_fits

from .conftest import SIZES, SPACE


def test_the_named_spaces_are_those_of_the_paper():
    base, small = SPACES["lighthubert_base"], SPACES["lighthubert_small"]
    assert base.size == 3 * (3 * 2) ** 12 > 10**9  # "over 10^9 architectures"
    assert small.size == 3 * sum(9**depth for depth in (10, 11, 12))
    assert base.largest == Subnet.uniform(768, 12, 4.0, 12)
    assert small.smallest == Subnet.uniform(256, 4, 3.0, 10)
    for one in (base, small):  # the authors keep both in a HuBERT base
        check_fits(HubertConfig(), one)
    assert base.exportable_widths == (512, 640, 768)
    assert small.smallest.feed_forward == (768,) * 10


def test_every_draw_is_of_the_space_and_all_are_drawn(space):
    generator = np.random.default_rng(0)
    drawn = [space.sample(generator) for _ in range(400)]
    assert all(map(space.contains, drawn))
    for name, choices in (("width", space.widths), ("depth", space.depths)):
        assert {getattr(one, name) for one in drawn} == {*choices}
    assert {one.heads[1] for one in drawn} == {*space.heads}
    assert {one.ratios[-1] for one in drawn} == {*space.ratios}
    assert any(len({*one.heads}) > 1 for one in drawn)
    plain = [space.sample(generator, exportable=True) for _ in range(50)]
    assert all(one.heads == (one.width // 8,) * one.depth for one in plain)
    assert all(len({*one.ratios}) == 1 for one in plain) and len({*plain}) > 8


def test_a_draw_depends_on_seed_and_number_alone(space):
    first = [draw_subnet(space, 3, number) for number in range(20)]
    np.random.default_rng().random(7)
    assert [draw_subnet(space, 3, number) for number in reversed(range(20))] == first[::-1]
    assert [draw_subnet(space, 4, number) for number in range(20)] != first
    assert len({*first}) > 15


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"width": 20}, "its width is 20"),
        ({"heads": (2, 5)}, "its layer 2 has 5 heads"),
        ({"ratios": (3.25, 3.0)}, "its layer 1 has ratio 3.25"),
        ({"heads": (2,), "ratios": (3.0,)}, "it has 1 layers"),
    ],
)
def test_what_is_outside_is_named(space, change, reason):
    subnet = Subnet(**{"width": 16, "heads": (2, 3), "ratios": (3.0, 4.0)} | change)
    assert not space.contains(subnet)
    with pytest.raises(ValueError, match=reason):
        space.check(subnet)


def test_json_forms_come_back(space, tmp_path):
    subnet = space.sample(np.random.default_rng(2))
    assert Subnet.from_dict(json.loads(json.dumps(subnet.to_dict()))) == subnet
    short = {"width": 24, "heads": 3, "ratios": 4, "depth": 3}
    assert Subnet.from_dict(short) == Subnet.uniform(24, 3, 4.0, 3)
    space.save(tmp_path)
    for given in (tmp_path, tmp_path / "elastic.json", json.dumps(SPACE), SPACE):
        assert SubnetSpace.load(given) == space
    assert SubnetSpace.load("lighthubert_base") is SPACES["lighthubert_base"]


INFINITE = json.loads("1e400")
FULL = {"width": 24, "heads": 3, "ratios": 4, "depth": 2}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"width": 24, "heads": [3, 3]}, "has no ratios"),
        ({"width": 24, "heads": [3, 3], "ratios": [4], "depth": 2}, "heads of 2 layers and ratios"),
        ({"width": 24, "heads": [3], "ratios": [4], "depth": 2}, "depth 2 and heads of 1 layers"),
        ({"width": 24, "heads": 3, "ratios": 4, "layers": 2}, "has unknown layers; expected width"),
        ({"width": 24}, "has no heads, ratios; expected width"),
        ([1], r"a subnet is \[1\]; expected a mapping"),
        (FULL | {"width": 0}, "width of a subnet is 0; expected a whole number from 1"),
        (FULL | {"width": 32.9}, "width of a subnet is 32.9; expected a whole"),
        (FULL | {"width": "a"}, "width of a subnet is 'a'; expected a whole"),
        (FULL | {"width": None}, "width of a subnet is None"),
        (FULL | {"heads": 2.9}, "one of the heads of a subnet is 2.9; expected a whole"),
        (FULL | {"heads": [2, True]}, "one of the heads of a subnet is True"),
        (FULL | {"ratios": INFINITE}, "one of the ratios of a subnet is inf; expected a number"),
        (FULL | {"ratios": [4, float("nan")]}, "one of the ratios of a subnet is nan"),
        (FULL | {"ratios": "4"}, "one of the ratios of a subnet is '4'"),
        (FULL | {"ratios": 0.001}, "times the ratio 0.001 is below 1"),
        (FULL | {"depth": 2.7}, "depth of a subnet is 2.7; expected a whole"),
        (FULL | {"depth": 0}, "depth of a subnet is 0; expected a whole"),
        (FULL | {"depth": 100_000_000}, "depth of a subnet is 100000000; .* from 1 to 200"),
        ({"width": 24, "heads": [3] * 201, "ratios": 4}, "has 201 layers; expected 200 at most"),
    ],
)
def test_subnets_that_cannot_be_are_refused(content, reason):
    with pytest.raises(ValueError, match=reason):
        Subnet.from_dict(content)


def test_numbers_of_a_subnet_are_whole():
    assert Subnet(np.int64(32), (2.0,), (4,)) == Subnet(32, (2,), (4.0,))
    assert type(Subnet(32.0, (2,), (4.0,)).width) is int
    for given, reason in (((32.5, (2,), (4.0,)), "width of a subnet is 32.5"),
                          ((32, 2, (4.0,)), "heads of a subnet are 2; expected")):  # fmt: skip
        with pytest.raises(ValueError, match=reason):
            Subnet(*given)
    with pytest.raises(ValueError, match="depth of a subnet is 1000000000000"):
        Subnet.uniform(32, 2, 4.0, 10**12)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"widths": []}, "widths of a space of subnets are"),
        ({"widths": [24, 24]}, "one or more different numbers"),
        ({"heads": [2.5]}, "all whole"),
        ({"heads": "many"}, "expected a list of numbers"),
        ({"depths": [0, 2]}, "numbers above 0"),
        ({"widths": [15], "ratios": [3.5]}, "width 15 times .* 3.5 is 52.5"),
        ({"ratios": [INFINITE]}, "ratios of a space of subnets are \\[inf\\]; expected a list"),
        ({"ratios": [3, float("nan")]}, "ratios of a space of subnets are \\[3, nan\\]"),
        ({"widths": 5}, "widths of a space of subnets are 5; expected a list"),
        ({"depths": [100_000_000]}, "depths of a space .* numbers above 0 and up to 200"),
        ({"head_size": 0}, "head_size of a space of subnets is 0; expected a whole"),
        ({"head_size": None}, "head_size of a space of subnets is None"),
        ({"head_size": "x"}, "head_size of a space of subnets is 'x'"),
        ({"head_size": 16.5}, "head_size of a space of subnets is 16.5"),
        ({"length": [3]}, "names unknown \\['length'\\]"),
    ],
)
def test_spaces_that_cannot_be_are_refused(change, reason):
    with pytest.raises(ValueError, match=reason):
        SubnetSpace.load(SPACE | change)


@pytest.mark.parametrize(
    ("change", "config", "reason"),
    [
        ({}, {"hidden_size": 16, "num_attention_heads": 2}, "its width is 16, .* 32 are asked"),
        ({}, {"num_hidden_layers": 2}, "its number of layers is 2"),
        ({}, {"intermediate_size": 120}, "its feed-forward size is 120, and subnets of 128"),
        ({"heads": [5]}, {}, "its number of heads is 4"),
        ({"head_size": 16}, {}, "heads of 16 dimensions and the encoder of 8"),
        ({"widths": [18]}, {}, "width 18 is not divided by the 4 groups"),
        ({}, {"conv_pos_batch_norm": True}, "conv_pos_batch_norm True, which is not elastic"),
    ],
)
def test_spaces_that_an_encoder_does_not_hold_are_refused(change, config, reason):
    with pytest.raises(ValueError, match=reason):
        check_fits(HubertConfig(**SIZES | config), SubnetSpace.load(SPACE | change))


def test_only_hubert_is_elastic(space):
    with pytest.raises(ValueError, match="'wavlm' model .*; expected a plain HuBERT"):
        check_fits(WavLMConfig(**SIZES), space)


def test_what_is_no_space_is_said(tmp_path):
    for given in (tmp_path, tmp_path / "x.json", "lighthubert_large"):
        with pytest.raises(ValueError, match="holds no space of subnets; expected lighthubert_b"):
            SubnetSpace.load(given)
    for given in (5, None, [1]):
        with pytest.raises(ValueError, match="the space of subnets is .*; expected lighthubert_b"):
            SubnetSpace.load(given)
