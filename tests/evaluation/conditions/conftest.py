import numpy as np
import pytest
import scipy.signal

from hf_rspin.evaluation import EvaluationSet
from hf_rspin.evaluation.conditions import CONDITIONS, BackgroundNoise, make_conditions
from hf_rspin.resources import load_sample
from hf_rspin.views import NoiseBank

FROM_FOLDERS = {"noise", "noise_seen", "noise_unseen"}


@pytest.fixture(scope="session")
def spoken():
    return EvaluationSet.from_corpus(load_sample("test"), keep_waveforms=True)


@pytest.fixture(scope="session")
def speech(spoken):
    """Return 1.25 s of three utterances of three voices."""
    return [spoken.read(index)[8000:28000] for index in (2, 17, 31)]


@pytest.fixture(scope="session")
def every_condition(spoken):
    """Return all conditions, at all severities."""
    rng = np.random.default_rng(0)
    bank = NoiseBank([rng.normal(0, 0.1, size).astype(np.float32) for size in (3000, 40000)])
    names = [name for name in CONDITIONS if name not in FROM_FOLDERS]
    made = make_conditions(names, [10, 0], babble_pool=spoken, severities=(1, 2, 3, 4))
    return [*made, BackgroundNoise(bank, 0.0)]


@pytest.fixture(scope="session")
def lag():
    """Return by how many samples one waveform is later than another."""

    def measure(reference, output):
        correlation = scipy.signal.correlate(output, reference, "full", method="fft")
        return int(np.argmax(correlation)) - len(reference) + 1

    return measure
