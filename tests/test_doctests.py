"""The short examples in the docstrings of the API reference run, and give what they say."""

import doctest
from importlib import import_module

import pytest
import torch

from .reference_modules import modules_of_reference

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def examples():
    """Return every docstring with an example, by its name."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    for name in modules_of_reference():
        for found in finder.find(import_module(name)):
            if found.examples:
                yield pytest.param(found, id=found.name)


@pytest.mark.parametrize("example", examples())
def test_example(example, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # what an example saves stays here
    torch.manual_seed(0)
    runner = doctest.DocTestRunner(optionflags=FLAGS, verbose=False)
    said = []
    failed, tried = runner.run(example, out=said.append)
    assert tried and not failed, "".join(said)
