"""Evolutionary search among subnets: tournaments, crossover, mutation, all within a budget."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from numbers import Integral

import numpy as np

from hf_rspin.elastic.space import SubnetSpace
from hf_rspin.elastic.subnet import Subnet

TOURNAMENT = 3  # of the population, of which the best becomes a parent
CHANGED = 0.15  # probability that a mutation draws one number anew
TRIES = 100  # draws of a subnet that is new, before the search says that there is none


@dataclass(frozen=True)
class Evolution:
    """How a search goes.

    Args:
        population: subnets of a generation, and the best so far that may be parents.
        generations: the first is random; at most population x generations are measured.
        seed: of all draws; equal measurements give an equal search.
        exportable: only subnets that `extract_subnet` can save as plain encoders.
        higher: whether the greatest value is the best.

    Raises:
        ValueError: one is out of its range.
    """

    population: int = 12
    generations: int = 4
    seed: int = 0
    exportable: bool = False
    higher: bool = True

    def __post_init__(self) -> None:
        for name, least in (("population", 2), ("generations", 1), ("seed", 0)):
            value = getattr(self, name)
            if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
                raise ValueError(
                    f"{name} is {value!r}; expected a whole number of {least} or more."
                )

    def rank(self, found: dict[Subnet, float]) -> list[Subnet]:
        """Return subnets, the best first; of equal ones the first measured."""
        return sorted(found, key=found.__getitem__, reverse=self.higher)


def evolve(
    space: SubnetSpace,
    measure: Callable[[Subnet], float],
    fits: Callable[[Subnet], bool],
    evolution: Evolution | None = None,
) -> dict[Subnet, float]:
    """Return every subnet that was measured with its value, in order of measuring.

    A subnet above the budget is not thrown away but loses width, depth, heads or feed-forward size,
    one random step at a time, until it fits.

    Args:
        space: to search in.
        measure: value of a subnet; called once for each.
        fits: whether a subnet is within the budget; what is smaller than one that fits must fit.
        evolution: how; default `Evolution()`.

    Raises:
        ValueError: not even the smallest subnet fits, or none is exportable and that is asked for.

    Example:
        >>> space = SubnetSpace((128, 256), (2, 4), (4.0,), (4, 6), head_size=64)
        >>> found = evolve(space, lambda s: s.width * sum(s.heads), lambda s: s.width < 256)
        >>> max(found, key=found.get).width  # the best that fits
        128
    """
    evolution = evolution or Evolution()
    check_budget(space, fits, evolution.exportable)
    found: dict[Subnet, float] = {}
    for generation in range(evolution.generations):
        generator = np.random.default_rng(np.random.SeedSequence([evolution.seed, generation]))
        parents = evolution.rank(found)[: evolution.population]
        for subnet in _children(space, parents, {*found}, fits, evolution, generator):
            found[subnet] = measure(subnet)
    return found


def check_budget(space: SubnetSpace, fits: Callable[[Subnet], bool], exportable: bool) -> None:
    """Refuse a budget that nothing is within.

    Raises:
        ValueError: not even the smallest subnet fits, or none is exportable and that is asked for.
    """
    least = smallest_of(space, exportable)
    if not fits(least):
        raise ValueError(
            f"not even the smallest subnet of the space {least.to_dict()} is within the budget; "
            "expected a larger budget, or a space with smaller subnets."
        )


def smallest_of(space: SubnetSpace, exportable: bool) -> Subnet:
    """Return the smallest subnet, or the smallest that is exportable."""
    least = space.smallest
    if not exportable:
        return least
    space.sample(np.random.default_rng(0), exportable=True)  # says where there is none
    width = space.exportable_widths[0]
    return Subnet.uniform(width, width // space.head_size, least.ratios[0], least.depth)


def _children(
    space: SubnetSpace,
    parents: list[Subnet],
    known: set[Subnet],
    fits: Callable[[Subnet], bool],
    evolution: Evolution,
    generator: np.random.Generator,
) -> Iterator[Subnet]:
    """Yield up to a population of new subnets that fit: half crossed, half mutated.

    Where parents give nothing new any more, random ones are taken.
    """
    for place in range(evolution.population):
        for number in range(TRIES):
            those = parents if number < TRIES // 4 else []
            child = _propose(space, those, place, evolution.exportable, generator)
            while not fits(child):
                child = _smaller(space, child, evolution.exportable, generator)
            if child not in known:
                known.add(child)
                yield child
                break
        else:
            return  # nearly all that there are have been measured


def _propose(
    space: SubnetSpace, parents: list[Subnet], place: int, exportable: bool,
    generator: np.random.Generator,
) -> Subnet:  # fmt: skip
    if not parents:
        return space.sample(generator, exportable)

    def winner() -> Subnet:  # parents are sorted: of some, the best is the first
        return parents[int(generator.integers(len(parents), size=TOURNAMENT).min())]

    if place % 2:
        return _regular(space, cross(winner(), winner(), generator), exportable)
    return _regular(space, mutate(space, winner(), generator), exportable)


def cross(one: Subnet, other: Subnet, generator: np.random.Generator) -> Subnet:
    """Return a subnet with width, depth, and heads and ratio of every layer, of one or other."""
    pair = (one, other)
    width = pair[generator.integers(2)].width
    deep = pair[generator.integers(2)].depth
    heads, ratios = [], []
    for layer in range(deep):
        givers = [parent for parent in pair if layer < parent.depth]
        heads.append(givers[generator.integers(len(givers))].heads[layer])
        ratios.append(givers[generator.integers(len(givers))].ratios[layer])
    return Subnet(width, tuple(heads), tuple(ratios))


def mutate(space: SubnetSpace, subnet: Subnet, generator: np.random.Generator) -> Subnet:
    """Return a subnet of which every number is drawn anew with probability `CHANGED`."""
    fresh = space.sample(generator)

    def pick(kept: float, drawn: float) -> float:
        return drawn if generator.random() < CHANGED else kept

    width, depth = pick(subnet.width, fresh.width), pick(subnet.depth, fresh.depth)
    chosen = []
    for name in ("heads", "ratios"):
        kept, choices = getattr(subnet, name), getattr(space, name)
        row = [pick(value, generator.choice(choices)) for value in kept[:depth]]
        row += list(generator.choice(choices, depth - len(row)))
        chosen.append(tuple(row))
    return Subnet(int(width), *chosen)


def _regular(space: SubnetSpace, subnet: Subnet, exportable: bool) -> Subnet:
    """Return the subnet, or the plain encoder that is most like it."""
    if not exportable:
        return subnet
    width = min(space.exportable_widths, key=lambda w: abs(w - subnet.width))
    return Subnet.uniform(width, width // space.head_size, subnet.ratios[0], subnet.depth)


def _smaller(
    space: SubnetSpace, subnet: Subnet, exportable: bool, generator: np.random.Generator
) -> Subnet:
    """Return the subnet with one number, chosen at random, a step lower."""
    widths = space.exportable_widths if exportable else space.widths
    steps: dict[str, list[Subnet]] = {"width": [], "depth": [], "heads": [], "ratios": []}
    if subnet.width > widths[0]:
        steps["width"] = [Subnet(_below(widths, subnet.width), subnet.heads, subnet.ratios)]
    if subnet.depth > space.depths[0]:
        depth = _below(space.depths, subnet.depth)
        steps["depth"] = [Subnet(subnet.width, subnet.heads[:depth], subnet.ratios[:depth])]
    for layer in range(subnet.depth):
        for name in ("heads", "ratios"):
            row, choices = list(getattr(subnet, name)), getattr(space, name)
            if row[layer] > choices[0]:
                row[layer] = _below(choices, row[layer])
                rows = {"heads": subnet.heads, "ratios": subnet.ratios, name: tuple(row)}
                steps[name].append(Subnet(subnet.width, rows["heads"], rows["ratios"]))
    if exportable:  # heads follow the width, and the ratio is that of the first layer
        steps["heads"], steps["ratios"] = [], steps["ratios"][:1]
    kinds = [found for found in steps.values() if found]
    chosen = kinds[generator.integers(len(kinds))]
    return _regular(space, chosen[generator.integers(len(chosen))], exportable)


def _below(choices: tuple, value: float) -> float:
    return max(choice for choice in choices if choice < value)
