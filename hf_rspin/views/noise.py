"""Additive noise, babble and reverberation: the distortions of R-Spin's training and tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.signal

from .transform import check_waveform

SILENT_POWER = 1e-14  # mean square of a waveform that counts as silent (-140 dB)
DIRECT_PATH_RATIO_DB = (-3.0, 9.0)
LONGEST_T60 = 20.0  # seconds


def add_noise(waveform: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    """Add noise at an exact ratio of mean powers over the utterance.

    Constant offsets are not heard and count neither as speech nor as noise: that of the noise is
    taken out, that of the speech stays.

    Args:
        waveform: (samples,) speech, before padding; silent speech is returned as it is.
        noise: (noise_samples,), repeated where shorter than the speech, cut where longer.
        snr_db: power of the speech over that of the noise added, in dB.

    Returns:
        (samples,) float32, not clipped (clipping would change the ratio).

    Raises:
        ValueError: the noise is silent over the utterance, snr_db is not finite, or speech or
            noise is not (samples,) of finite floats.
    """
    waveform = check_waveform(waveform, "The mix with noise").astype(np.float32, copy=False)
    speech_power = mean_power(waveform)
    if speech_power <= SILENT_POWER:
        return waveform.copy()
    if not np.isfinite(snr_db):
        raise ValueError(f"got snr_db={snr_db}, expected a finite number of dB.")
    noise = fit_length(noise, len(waveform))
    noise = noise - np.einsum("i->", noise) / np.float32(len(noise))
    noise_power = float(np.dot(noise, noise)) / len(noise)
    if noise_power <= SILENT_POWER:
        raise ValueError(
            "The noise is silent over the utterance, so no level gives an SNR: draw another part."
        )
    if not np.isfinite(noise_power):
        raise ValueError("got noise with NaN, infinite or huge samples, expected -1 to 1.")
    noise *= np.float32(np.sqrt(speech_power / noise_power / 10.0 ** (snr_db / 10.0)))
    noise += waveform
    return noise


def mean_power(waveform: np.ndarray) -> float:
    """Return the mean square of (samples,) around its mean, 0 for no samples.

    A constant offset, as cheap microphones add, has no power that is heard.
    """
    if len(waveform) == 0:
        return 0.0
    mean = float(np.einsum("i->", waveform)) / len(waveform)  # a third of the time of mean()
    total = float(np.dot(waveform, waveform)) / len(waveform)
    if mean**2 <= 0.5 * total:
        return total - mean**2
    # where the offset is large, the difference of two squares would be rounding noise
    centred = waveform - waveform.mean()
    centred -= centred.mean()
    return float(np.dot(centred, centred)) / len(centred)


def fit_length(
    noise: np.ndarray, num_samples: int, generator: np.random.Generator | None = None
) -> np.ndarray:
    """Cut or repeat noise to `num_samples`; with a generator, from a random place.

    Raises:
        ValueError: there is no sample to repeat.
    """
    noise = np.asarray(noise, dtype=np.float32)
    if noise.ndim != 1:
        raise ValueError(f"got noise of shape {noise.shape}, expected (samples,): one channel.")
    if len(noise) == 0:
        raise ValueError("The noise holds no samples; expected (samples,) with at least one.")
    if len(noise) >= num_samples:
        start = 0
        if generator is not None:
            start = int(generator.integers(0, len(noise) - num_samples + 1))
        return noise[start : start + num_samples]
    start = 0 if generator is None else int(generator.integers(0, len(noise)))
    return np.resize(np.roll(noise, -start), num_samples)


def gaussian_noise(generator: np.random.Generator, num_samples: int) -> np.ndarray:
    """Draw white noise of unit power, (samples,) float32."""
    return generator.standard_normal(num_samples, dtype=np.float32)


def babble(waveforms: Sequence[np.ndarray], num_samples: int) -> np.ndarray:
    """Mix utterances at equal power into (num_samples,) of unit power; silent ones are left out.

    Raises:
        ValueError: no utterance is audible.
    """
    mixture = np.zeros(num_samples, dtype=np.float32)
    for waveform in waveforms:
        voice = fit_length(waveform, num_samples)
        power = mean_power(voice)
        if power > SILENT_POWER:
            mixture += (voice - voice.mean()) / np.float32(np.sqrt(power))
    power = mean_power(mixture)
    if power <= SILENT_POWER:
        raise ValueError("Babble needs at least one utterance that is not silent.")
    return mixture / np.float32(np.sqrt(power))


def reverberate(waveform: np.ndarray, impulse_response: np.ndarray) -> np.ndarray:
    """Put a waveform into a room.

    Args:
        waveform: (samples,).
        impulse_response: (taps,) at the same rate; its largest tap counts as the direct path.

    Returns:
        (samples,) float32 of the input's power, not clipped, the direct path in place: frame
        labels of the input stay valid. The tail beyond the end is cut.

    Raises:
        ValueError: the impulse response is empty or zero.
    """
    waveform = check_waveform(waveform, "A room").astype(np.float32, copy=False)
    response = np.asarray(impulse_response, dtype=np.float32)
    if response.ndim != 1 or not np.isfinite(response).all():
        raise ValueError(
            f"got an impulse response of shape {response.shape}, expected finite numbers (taps,)."
        )
    if not np.abs(response).max(initial=0.0) > 0:
        raise ValueError("The impulse response is empty or zero; expected (taps,) of a room.")
    power = mean_power(waveform)
    if power <= SILENT_POWER:
        return waveform.copy()
    delay = int(np.argmax(np.abs(response)))
    wet = scipy.signal.fftconvolve(waveform, response)[delay : delay + len(waveform)]
    wet_power = mean_power(wet)
    if wet_power <= SILENT_POWER * power:
        return waveform.copy()
    return (wet * np.float32(np.sqrt(power / wet_power))).astype(np.float32, copy=False)


def synthesize_room_response(
    generator: np.random.Generator, sampling_rate: int, t60: float
) -> np.ndarray:
    """Draw a room: a direct path, then noise that decays by 60 dB in `t60` seconds.

    The direct path is the first and largest tap; it holds -3 to 9 dB of the energy of the rest,
    which starts 2 to 10 ms later.

    Returns:
        (taps,) float32, 1.2 * t60 long.

    Raises:
        ValueError: t60 is not from 0.02 to 20 s.
    """
    if not 0.02 < t60 <= LONGEST_T60:
        raise ValueError(
            f"t60 is {t60} s, expected 0.02 to {LONGEST_T60:g}: rooms have 0.2 to 2 s."
        )
    num_taps = int(1.2 * t60 * sampling_rate)
    tail = generator.standard_normal(num_taps) * 10.0 ** (
        -3.0 * np.arange(num_taps) / (t60 * sampling_rate)
    )
    tail[: int(generator.uniform(0.002, 0.010) * sampling_rate)] = 0.0
    ratio = 10.0 ** (generator.uniform(*DIRECT_PATH_RATIO_DB) / 10.0)
    direct = max(np.sqrt(ratio * np.sum(tail**2)), 1.01 * np.abs(tail).max())
    tail[0] = direct
    return (tail / direct).astype(np.float32)
