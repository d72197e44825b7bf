import numpy as np
import pytest
import scipy.signal

from hf_rspin.seeding import example_generator
from hf_rspin.views import NoiseBank

RATE = 16_000
FORMANTS_HZ = (650.0, 1150.0, 2500.0, 3500.0)
BANDWIDTHS_HZ = (80.0, 90.0, 120.0, 150.0)


def _vowel(f0, seconds=1.0, formants=FORMANTS_HZ):
    """A pulse train of F0 `f0` in Hz (number or contour (samples,)) through four resonators."""
    f0 = np.broadcast_to(np.asarray(f0, dtype=np.float64), int(seconds * RATE))
    phase = np.cumsum(f0 / RATE)
    # band-limited pulses: as many equal harmonics as fit below 7 kHz
    waveform = np.zeros(len(f0))
    for harmonic in range(1, int(7000 / f0.min()) + 1):
        waveform += np.cos(2 * np.pi * harmonic * phase) * (harmonic * f0 < 7000) / harmonic
    for frequency, bandwidth in zip(formants, BANDWIDTHS_HZ, strict=True):
        radius = np.exp(-np.pi * bandwidth / RATE)
        poles = [1.0, -2 * radius * np.cos(2 * np.pi * frequency / RATE), radius**2]
        waveform = scipy.signal.lfilter([sum(poles)], poles, waveform)
    return (0.3 * waveform / np.abs(waveform).max()).astype(np.float32)


@pytest.fixture(scope="session")
def vowel():
    return _vowel


@pytest.fixture(scope="session")
def speech():
    """Three vowels of a gliding voice with pauses of faint noise, 2.4 s."""
    generator = np.random.default_rng(0)
    pause = 1e-3 * generator.standard_normal(int(0.2 * RATE)).astype(np.float32)
    parts = [pause]
    for start, stop, first in ((120, 150, 650.0), (160, 130, 400.0), (140, 110, 500.0)):
        glide = np.linspace(start, stop, int(0.5 * RATE))
        voiced = _vowel(glide, 0.5, (first, *FORMANTS_HZ[1:])) * np.hanning(int(0.5 * RATE))
        parts += [voiced.astype(np.float32), pause]
    return np.concatenate(parts)


@pytest.fixture(scope="module")
def bank():
    """Three noises of one second."""
    generator = np.random.default_rng(0)
    return NoiseBank([generator.standard_normal(RATE) for _ in range(3)])


def generators(epoch=0, index=0, seed=0):
    """Return the generators of both views of an example."""
    return tuple(example_generator(seed, epoch, index, view) for view in range(2))
