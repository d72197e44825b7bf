"""Draws depend on (seed, epoch, index, view) and on nothing else."""

from itertools import product

from hf_rspin.seeding import example_generator


def test_every_coordinate_changes_the_draw_and_equal_ones_repeat_it():
    draws = {key: example_generator(*key).integers(2**62) for key in product(range(3), repeat=4)}
    assert len(set(draws.values())) == len(draws)
    assert all(example_generator(*key).integers(2**62) == value for key, value in draws.items())
