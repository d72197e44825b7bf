"""The short examples in the docstrings of the API reference run, and give what they say."""

import doctest
from importlib import import_module

import numpy as np
import pytest
import torch
from transformers import HubertConfig, HubertModel

from hf_rspin import NoiseBank, encoder_folder, load_sample

from .reference_modules import modules_of_reference

# what docs/reference/index.md says that the examples have, besides the names of their module
GIVEN = {
    "HubertConfig": HubertConfig, "HubertModel": HubertModel, "NoiseBank": NoiseBank, "np": np,
    "encoder_folder": encoder_folder, "load_sample": load_sample, "torch": torch,
}  # fmt: skip
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
    example.globs = {**GIVEN, "waveform": torch.randn(1, 16000), **example.globs}
    runner = doctest.DocTestRunner(optionflags=FLAGS, verbose=False)
    said = []
    failed, tried = runner.run(example, out=said.append)
    assert tried and not failed, "".join(said)
