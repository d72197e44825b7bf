"""Background noises for the speech sample, synthesised from a seed: no recording is needed.

Two sets of kinds: R-Spin trains on the seen ones and is tested on both (new takes of the seen).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.signal

from hf_rspin.audio import SAMPLING_RATE

LEVEL = 0.05  # root mean square of every noise; speech is mixed at an SNR, so it hardly matters


def sample_noises(
    condition: str, seed: int = 0, takes: int = 2, seconds: float = 10.0
) -> dict[str, np.ndarray]:
    """Synthesise every kind of a condition, `takes` times.

    Args:
        condition: "seen" (fan, engine, rain, cafe) or "unseen" (wind, alarm, hammer).
        seed: another seed gives other takes of the same kinds.
        takes: pieces of each kind, each with parameters of its own.
        seconds: length of each.

    Returns:
        {"engine-0": (samples,) float32 at 16 kHz, ...}, all of the same level.

    Raises:
        ValueError: an unknown condition, no takes, or less than 0.1 s.
    """
    conditions = {"seen": SEEN_NOISES, "unseen": UNSEEN_NOISES}
    if condition not in conditions:
        raise ValueError(f"condition is {condition!r}, expected one of {sorted(conditions)}.")
    if takes < 1 or not 0.1 <= seconds < np.inf:
        raise ValueError(
            f"got takes={takes} and seconds={seconds}, expected 1 or more of 0.1 s or more."
        )
    noises = {}
    for index, (kind, synthesize) in enumerate(conditions[condition].items()):
        for take in range(takes):
            rng = np.random.default_rng([seed, len(condition), index, take])
            noise = synthesize(rng, int(seconds * SAMPLING_RATE))
            level = LEVEL / np.sqrt(np.mean(noise**2))
            noises[f"{kind}-{take}"] = (noise * level).astype(np.float32)
    return noises


def training_noises(seed: int = 1000, takes: int = 20, seconds: float = 10.0) -> list[dict]:
    """Return synthetic noise of the seen kinds as rows of a corpus, see `load_corpus`.

    Another seed than that of conditions of an evaluation: a test has other takes.

    Args:
        seed: see `sample_noises`.
        takes: of each kind.
        seconds: length of each.
    """
    noises = sample_noises("seen", seed, takes, seconds)
    return [{"id": name, "audio": {"array": noise, "sampling_rate": SAMPLING_RATE}}
            for name, noise in noises.items()]  # fmt: skip


def colored_noise(rng: np.random.Generator, num_samples: int, slope: float) -> np.ndarray:
    """Draw noise whose power falls with frequency as f^-slope above 30 Hz; unit power."""
    frequencies = np.fft.rfftfreq(num_samples, 1 / SAMPLING_RATE)
    gains = np.maximum(frequencies, 30.0) ** (-slope / 2)
    gains[0] = 0.0
    noise = np.fft.irfft(np.fft.rfft(rng.standard_normal(num_samples)) * gains, num_samples)
    return noise / np.sqrt(np.mean(noise**2))


def slow_curve(rng: np.random.Generator, num_samples: int, rate: float) -> np.ndarray:
    """Draw a smooth curve of unit power that turns about `rate` times per second."""
    knots = int(num_samples / SAMPLING_RATE * rate) + 4
    values = scipy.signal.resample(rng.standard_normal(knots), 16 * knots)
    positions = np.linspace(0, len(values) - 1, num_samples)
    curve = np.interp(positions, np.arange(len(values)), values)
    return curve / np.sqrt(np.mean(curve**2))


def ringing(frequency: float, decay: float) -> np.ndarray:
    """Return a struck tone: a sine in Hz that falls by 60 dB in `decay` seconds."""
    time = np.arange(int(decay * SAMPLING_RATE)) / SAMPLING_RATE
    return np.sin(2 * np.pi * frequency * time) * 10.0 ** (-3.0 * time / decay)


def strikes(rng: np.random.Generator, num_samples: int, times: np.ndarray, sound) -> np.ndarray:
    """Place `sound` (samples,) at `times` in seconds, each time with another strength."""
    impulses = np.zeros(num_samples)
    positions = (np.asarray(times) * SAMPLING_RATE).astype(int)
    np.add.at(impulses, positions[positions < num_samples], 1.0)
    impulses *= rng.lognormal(0.0, 0.6, num_samples)
    return scipy.signal.fftconvolve(impulses, sound)[:num_samples]


def fan(rng: np.random.Generator, num_samples: int) -> np.ndarray:
    """Ventilation: steady noise, near pink."""
    return colored_noise(rng, num_samples, rng.uniform(0.7, 1.4))


def engine(rng: np.random.Generator, num_samples: int) -> np.ndarray:
    """Motor: forty harmonics of a rate that drifts, over low noise."""
    rate = rng.uniform(25, 45) * (1 + 0.08 * slow_curve(rng, num_samples, 0.5))
    phase = 2 * np.pi * np.cumsum(rate) / SAMPLING_RATE
    hum = np.zeros(num_samples)
    for harmonic in range(1, 41):
        strength = rng.lognormal(0.0, 0.7) / harmonic**0.7
        hum += strength * np.sin(harmonic * phase + rng.uniform(0, 2 * np.pi))
    hum /= np.sqrt(np.mean(hum**2))
    return hum + 0.5 * colored_noise(rng, num_samples, 1.2)


def rain(rng: np.random.Generator, num_samples: int) -> np.ndarray:
    """Rain: hundreds of drops per second, each a short ring, over a hiss."""
    seconds = num_samples / SAMPLING_RATE
    drops = np.zeros(num_samples)
    for _ in range(12):
        times = rng.uniform(0, seconds, int(rng.uniform(10, 60) * seconds))
        sound = ringing(rng.uniform(700, 6500), rng.uniform(0.004, 0.02))
        drops += strikes(rng, num_samples, times, sound)
    drops /= np.sqrt(np.mean(drops**2))
    return drops + 0.6 * colored_noise(rng, num_samples, 0.3)


def cafe(rng: np.random.Generator, num_samples: int) -> np.ndarray:
    """Cafe: noise bands of the voice that swell at syllable rates, and dishes."""
    murmur = 0.3 * colored_noise(rng, num_samples, 1.5)
    for low, high in ((150, 500), (400, 1000), (900, 2000), (1800, 3600)):
        band = scipy.signal.butter(2, (low, high), "bandpass", fs=SAMPLING_RATE, output="sos")
        noise = scipy.signal.sosfilt(band, colored_noise(rng, num_samples, 0.5))
        swell = np.exp(0.8 * slow_curve(rng, num_samples, rng.uniform(4, 9)))
        murmur += swell * noise / np.sqrt(np.mean(noise**2)) / np.sqrt(low / 150)
    times = rng.uniform(0, num_samples / SAMPLING_RATE, max(1, num_samples // SAMPLING_RATE))
    dish = sum(ringing(rng.uniform(1800, 5500), rng.uniform(0.08, 0.3))[:1200] for _ in range(4))
    return murmur + strikes(rng, num_samples, times, dish)


def wind(rng: np.random.Generator, num_samples: int) -> np.ndarray:
    """Wind: gusts of noise that falls steeply with frequency, and a whistle."""
    gust = np.exp(0.7 * slow_curve(rng, num_samples, 1.0))
    center = rng.uniform(500, 900)
    band = scipy.signal.butter(
        1, (center, 1.3 * center), "bandpass", fs=SAMPLING_RATE, output="sos"
    )
    whistle = scipy.signal.sosfilt(band, rng.standard_normal(num_samples))
    return gust * (colored_noise(rng, num_samples, 1.8) + gust * whistle)


def alarm(rng: np.random.Generator, num_samples: int) -> np.ndarray:
    """Siren: a tone with overtones that sweeps up and down, over weak street noise."""
    time = np.arange(num_samples) / SAMPLING_RATE
    sweep = scipy.signal.sawtooth(2 * np.pi * rng.uniform(0.4, 2.5) * time, width=0.7)
    frequency = rng.uniform(700, 1100) * 2.0 ** (0.45 * sweep)
    phase = 2 * np.pi * np.cumsum(frequency) / SAMPLING_RATE
    tone = sum(np.sin(k * phase) / k for k in range(1, 6))
    return tone + 0.4 * colored_noise(rng, num_samples, 1.2)


def hammer(rng: np.random.Generator, num_samples: int) -> np.ndarray:
    """Machine: regular blows with a metallic ring, over a drone."""
    rate = rng.uniform(5, 11)
    times = np.arange(0, num_samples / SAMPLING_RATE, 1 / rate)
    times = times + rng.normal(0, 0.01, len(times)).clip(-0.03, 0.03)
    blow = np.zeros(int(0.12 * SAMPLING_RATE))
    for _ in range(8):
        blow += np.resize(ringing(rng.uniform(200, 5000), 0.12), len(blow)) * rng.lognormal()
    blows = strikes(rng, num_samples, times.clip(0), blow)
    return blows / np.sqrt(np.mean(blows**2)) + 0.35 * colored_noise(rng, num_samples, 0.9)


Synthesizer = Callable[[np.random.Generator, int], np.ndarray]
SEEN_NOISES: dict[str, Synthesizer] = {"fan": fan, "engine": engine, "rain": rain, "cafe": cafe}
UNSEEN_NOISES: dict[str, Synthesizer] = {"wind": wind, "alarm": alarm, "hammer": hammer}
