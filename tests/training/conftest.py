import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile


def load(name):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def tiny():
    """The module `tiny_run`, which also runs as a process of its own."""
    return load("tiny_run")


@pytest.fixture(scope="session")
def tiny_laser():
    """The module `tiny_laser`, which also runs as a process of its own."""
    return load("tiny_laser")


@pytest.fixture(scope="session")
def tiny_encoder(tiny_laser, tmp_path_factory):
    """The folder of a plain HuBERT of the size of `tiny_laser`."""
    folder = tmp_path_factory.mktemp("encoder")
    tiny_laser.laser_model().base_model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def audio(tmp_path_factory):
    """A folder with 24 noises of 0.5 to 1.5 seconds."""
    folder = tmp_path_factory.mktemp("audio")
    generator = np.random.default_rng(0)
    for index in range(24):
        samples = 0.1 * generator.standard_normal(int(generator.uniform(0.5, 1.5) * 16_000))
        soundfile.write(folder / f"u{index:02d}.wav", samples, 16_000)
    return folder
