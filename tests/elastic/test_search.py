"""The search: what it proposes is within the budget, what it finds is good, what it keeps."""

import numpy as np
import pytest

from hf_rspin.elastic import Evolution, Subnet, SubnetSpace, evolve, subnet_parameters
from hf_rspin.elastic.search import cross, mutate
from hf_rspin.elastic.search_arguments import SearchArguments

from .conftest import SPACE, tiny


def worth(subnet):
    """Known in closed form: depth is worth most, the width nothing, heads of layer 1 a little."""
    return 10 * subnet.depth + sum(subnet.ratios) + subnet.heads[0]


def costs():
    config = tiny().config
    return lambda subnet: subnet_parameters(config, subnet)


def test_a_search_stays_within_its_budget_and_improves(space):
    price = costs()
    budget = (price(space.smallest) + price(space.largest)) / 2
    found = evolve(space, worth, lambda s: price(s) <= budget, Evolution(10, 8))
    values = list(found.values())
    assert len(found) == len({*found}) == 80
    assert all(space.contains(one) and price(one) <= budget for one in found)
    assert np.mean(values[-20:]) > np.mean(values[:10]) and max(values) > max(values[:10])
    assert max(values) >= 0.97 * (30 + 12 + 4)  # of what is possible at all


def test_a_search_is_a_function_of_its_seed_and_of_what_it_measures(space):
    first, again, other = (
        [*evolve(space, worth, lambda s: True, Evolution(6, 3, seed))] for seed in (1, 1, 2)
    )
    assert first == again and first != other
    lower = evolve(space, worth, lambda s: True, Evolution(6, 6, higher=False))
    worths = [*lower.values()]
    assert np.mean(worths[-6:]) < np.mean(worths[:6]) - 1  # the other direction rises


def test_a_tight_budget_leaves_the_smallest(space):
    price = costs()
    found = evolve(space, worth, lambda s: price(s) <= price(space.smallest), Evolution(4, 2))
    assert [*found] == [space.smallest]
    with pytest.raises(ValueError, match="not even the smallest subnet of the space {'width': 16"):
        evolve(space, worth, lambda s: False)


def test_exportable_ones_alone(space):
    price = costs()
    budget = price(Subnet.uniform(32, 4, 3.5, 3))
    found = evolve(space, worth, lambda s: price(s) <= budget, Evolution(6, 4, exportable=True))
    assert 6 < len(found) <= 18 and all(price(one) <= budget for one in found)
    assert all(one.heads == (one.width // 8,) * one.depth for one in found)
    assert all(len({*one.ratios}) == 1 for one in found)
    with pytest.raises(ValueError, match="no subnet of this space is a plain encoder"):
        evolve(SubnetSpace.load(SPACE | {"widths": [40]}), worth, lambda s: True,
               Evolution(exportable=True))  # fmt: skip


def test_children_take_after_their_parents(space):
    generator = np.random.default_rng(0)
    small, large = space.smallest, space.largest
    for _ in range(30):
        child = cross(small, large, generator)
        assert space.contains(child) and child.heads[-1] in (2, 4) and child.width in (16, 32)
        if child.depth == 3:
            assert child.heads[2] == 4  # the small one has no third layer
    same = [mutate(space, large, generator) for _ in range(60)]
    assert all(map(space.contains, same))
    changed = np.mean([one.width != 32 for one in same])
    assert 0 < changed < 0.4 and large in same


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({}, "no supernet was given"),
        ({"encoder": "x"}, "no corpus was given"),
        ({"encoder": "x", "flops_seconds": float("nan")}, "flops_seconds is nan; expected a"),
        ({"encoder": "x", "subnet": "smallest", "flops_seconds": 0.0}, "flops_seconds is 0"),
        ({"encoder": "x", "corpus": "y"}, "max_parameters None and max_flops None"),
        ({"encoder": "x", "corpus": "y", "max_flops": 0.0}, "expected one or both, above 0"),
    ],
)
def test_what_is_missing_is_said(given, reason):
    with pytest.raises(ValueError, match=reason):
        SearchArguments(**given).check()
    with pytest.raises(ValueError, match="--probe_settings is no JSON"):
        SearchArguments(probe_settings="{x")
    for given, reason in (({"population": 1}, "population is 1; expected a whole number of 2"),
                          ({"population": 2.5}, "population is 2.5"),
                          ({"generations": 0}, "generations is 0"),
                          ({"seed": -1}, "seed is -1; expected a whole number of 0")):  # fmt: skip
        with pytest.raises(ValueError, match=reason):
            Evolution(**given)
