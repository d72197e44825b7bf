import numpy as np
import pytest
import soundfile

RATE = 16_000


@pytest.fixture
def write(tmp_path):
    """Write a noise of some seconds (or given samples) under `tmp_path`; return its path."""

    def run(name, seconds=1.0, samples=None, rate=RATE, seed=0):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if samples is None:
            samples = 0.1 * np.random.default_rng(seed).standard_normal(round(seconds * rate))
        soundfile.write(path, samples, rate)
        return path

    return run
