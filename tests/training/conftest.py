import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

SCRIPT = Path(__file__).with_name("tiny_run.py")


@pytest.fixture(scope="session")
def tiny():
    """The module `tiny_run`, which also runs as a process of its own."""
    spec = importlib.util.spec_from_file_location("tiny_run", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["tiny_run"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def audio(tmp_path_factory):
    """A folder with 24 noises of 0.5 to 1.5 seconds."""
    folder = tmp_path_factory.mktemp("audio")
    generator = np.random.default_rng(0)
    for index in range(24):
        samples = 0.1 * generator.standard_normal(int(generator.uniform(0.5, 1.5) * 16_000))
        soundfile.write(folder / f"u{index:02d}.wav", samples, 16_000)
    return folder
