"""Additive noise, babble and reverberation: the distortions of R-Spin's training and tests."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import scipy.signal

from ..audio import AudioError, AudioSource, audio_name, read_audio
from ..audio_segments import read_segment, segment_length

logger = logging.getLogger(__name__)

SILENT_POWER = 1e-14  # mean square of a waveform that counts as silent (-140 dB)
DIRECT_PATH_RATIO_DB = (-3.0, 9.0)
MAX_ATTEMPTS = 50
LONG_SECONDS = 60.0  # of longer files only the part drawn is read


def add_noise(waveform: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    """Add noise at an exact ratio of mean powers over the utterance.

    Args:
        waveform: (samples,) speech, before padding; silent speech is returned as it is.
        noise: (noise_samples,), repeated where shorter than the speech, cut where longer.
        snr_db: power of the speech over that of the noise added, in dB.

    Returns:
        (samples,) float32, not clipped (clipping would change the ratio).

    Raises:
        ValueError: the noise is silent over the utterance, or snr_db is not finite.
    """
    waveform = np.asarray(waveform, dtype=np.float32)
    speech_power = mean_power(waveform)
    if speech_power <= SILENT_POWER:
        return waveform.copy()
    if not np.isfinite(snr_db):
        raise ValueError(f"snr_db is {snr_db}, expected a finite number of dB.")
    noise = fit_length(noise, len(waveform))
    noise_power = mean_power(noise)
    if noise_power <= SILENT_POWER:
        raise ValueError(
            "The noise is silent over the utterance, so no level gives an SNR: draw another part."
        )
    gain = np.sqrt(speech_power / noise_power / 10.0 ** (snr_db / 10.0))
    return waveform + np.float32(gain) * noise


def mean_power(waveform: np.ndarray) -> float:
    """Return the mean square of (samples,), 0 for no samples."""
    return float(np.dot(waveform, waveform)) / len(waveform) if len(waveform) else 0.0


def fit_length(
    noise: np.ndarray, num_samples: int, generator: np.random.Generator | None = None
) -> np.ndarray:
    """Cut or repeat noise to `num_samples`; with a generator, from a random place.

    Raises:
        ValueError: there is no sample to repeat.
    """
    noise = np.asarray(noise, dtype=np.float32)
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
            mixture += voice / np.float32(np.sqrt(power))
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
    waveform = np.asarray(waveform, dtype=np.float32)
    response = np.asarray(impulse_response, dtype=np.float32)
    if len(response) == 0 or not np.abs(response).max() > 0:
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
        ValueError: t60 is not above 0.02 s.
    """
    if not t60 > 0.02:
        raise ValueError(f"t60 is {t60} s, expected more than 0.02: rooms have 0.2 to 2 s.")
    num_taps = int(1.2 * t60 * sampling_rate)
    tail = generator.standard_normal(num_taps) * 10.0 ** (
        -3.0 * np.arange(num_taps) / (t60 * sampling_rate)
    )
    tail[: int(generator.uniform(0.002, 0.010) * sampling_rate)] = 0.0
    ratio = 10.0 ** (generator.uniform(*DIRECT_PATH_RATIO_DB) / 10.0)
    direct = max(np.sqrt(ratio * np.sum(tail**2)), 1.01 * np.abs(tail).max())
    tail[0] = direct
    return (tail / direct).astype(np.float32)


class NoiseBank:
    """Noise to draw from: files or arrays, read when first drawn and kept up to a limit.

    Of files above a minute that have the bank's rate, only the part drawn is read. Several threads
    may share a bank. Babble does not know whose utterance it is added to: one of N speech sources
    is the utterance itself in about 5 / N of all babble.

    Args:
        sources: paths, encoded bytes, `datasets` audio cells, or arrays (samples,).
        sampling_rate: in Hz; files are resampled to it.
        speech_sources: utterances to mix babble from (of the training set, for instance).
        babble_probability: how often `draw` gives babble instead of one of `sources`.
        babble_speakers: least and greatest number of utterances in babble.
        cache_seconds: audio kept in memory by each process, in seconds.

    Raises:
        ValueError: nothing to draw from, or babble without speech.
    """

    def __init__(
        self,
        sources: Sequence[AudioSource | np.ndarray],
        sampling_rate: int = 16_000,
        speech_sources: Sequence[AudioSource | np.ndarray] = (),
        babble_probability: float = 0.0,
        babble_speakers: tuple[int, int] = (3, 7),
        cache_seconds: float = 7200.0,
    ) -> None:
        """Check the settings; nothing is read yet."""
        if not 0.0 <= babble_probability <= 1.0:
            raise ValueError(f"babble_probability is {babble_probability}, expected 0 to 1.")
        if babble_probability > 0 and len(speech_sources) == 0:
            raise ValueError("Babble needs speech_sources: give utterances, or probability 0.")
        if babble_probability < 1 and len(sources) == 0:
            raise ValueError("The noise bank got no sources: give at least one noise file.")
        if not 1 <= babble_speakers[0] <= babble_speakers[1]:
            raise ValueError(f"babble_speakers is {babble_speakers}, expected (least, greatest).")
        self.sources = sources
        self.sampling_rate = sampling_rate
        self.speech_sources = speech_sources
        self.babble_probability = babble_probability
        self.babble_speakers = babble_speakers
        self.cache_seconds = cache_seconds
        self._cache: OrderedDict[tuple[bool, int], np.ndarray | None] = OrderedDict()
        self._cached_samples = 0
        self._lengths: dict[tuple[bool, int], int | None] = {}
        self._lock = threading.Lock()

    def draw(self, generator: np.random.Generator, num_samples: int) -> np.ndarray:
        """Draw noise of (num_samples,) float32 that is not silent, from a random place.

        Raises:
            AudioError: none of 50 tries gave audible noise.
        """
        for _ in range(MAX_ATTEMPTS):
            if generator.random() < self.babble_probability:
                noise = self._draw_babble(generator, num_samples)
            else:
                noise = self._draw_segment(generator, num_samples, is_speech=False)
            if noise is not None:
                return noise
        raise AudioError(
            f"{MAX_ATTEMPTS} draws from the noise bank gave no audible noise: check its files."
        )

    def _draw_babble(self, generator: np.random.Generator, num_samples: int) -> np.ndarray | None:
        count = int(generator.integers(self.babble_speakers[0], self.babble_speakers[1] + 1))
        voices = [self._draw_segment(generator, num_samples, True) for _ in range(count)]
        voices = [voice for voice in voices if voice is not None]
        return babble(voices, num_samples) if voices else None

    def _draw_segment(
        self, generator: np.random.Generator, num_samples: int, is_speech: bool
    ) -> np.ndarray | None:
        sources = self.speech_sources if is_speech else self.sources
        index = int(generator.integers(0, len(sources)))
        length = self._long_length(index, is_speech)
        if length is not None and length >= num_samples > 0:
            # the draw is that of fit_length
            start = int(generator.integers(0, length - num_samples + 1))
            segment = self._read_part(sources[index], start, num_samples)
        else:
            waveform = self._read(index, is_speech)
            if waveform is None or len(waveform) == 0:
                return None
            segment = fit_length(waveform, num_samples, generator)
        if segment is None or mean_power(segment) <= SILENT_POWER:
            return None
        return segment

    def _long_length(self, index: int, is_speech: bool) -> int | None:
        """Return the samples of a long file of the bank's rate; None for any other source."""
        key = (is_speech, index)
        if key not in self._lengths:
            source = (self.speech_sources if is_speech else self.sources)[index]
            length = None
            if not isinstance(source, np.ndarray):
                length = segment_length(source, self.sampling_rate)
            is_long = length is not None and length > LONG_SECONDS * self.sampling_rate
            self._lengths[key] = length if is_long else None
        return self._lengths[key]

    def _read_part(self, source: AudioSource, start: int, num_samples: int) -> np.ndarray | None:
        rate = self.sampling_rate
        try:
            segment = read_segment(source, start / rate, num_samples / rate, rate)
        except AudioError as error:
            logger.warning("A part of noise %s is left out: %s", audio_name(source), error)
            return None
        return segment if len(segment) == num_samples else None

    def _read(self, index: int, is_speech: bool) -> np.ndarray | None:
        """Return a source from the cache or the disk; None where it cannot be read."""
        key = (is_speech, index)
        with self._lock:
            if key in self._cache:
                self._cache.move_to_end(key)
                return self._cache[key]
        source = (self.speech_sources if is_speech else self.sources)[index]
        if isinstance(source, np.ndarray):
            return source
        try:
            waveform = read_audio(source, self.sampling_rate)
        except AudioError as error:
            logger.warning("Noise %s is left out: %s", audio_name(source), error)
            waveform = None
        with self._lock:
            if key not in self._cache:  # another thread may have read it meanwhile
                self._keep(key, waveform)
        return waveform

    def _keep(self, key: tuple[bool, int], waveform: np.ndarray | None) -> None:
        self._cache[key] = waveform
        self._cached_samples += 0 if waveform is None else len(waveform)
        while self._cached_samples > self.cache_seconds * self.sampling_rate:
            _, oldest = self._cache.popitem(last=False)
            self._cached_samples -= 0 if oldest is None else len(oldest)

    def __getstate__(self) -> dict:
        """Leave the cache behind: every worker reads what it draws."""
        state = {**self.__dict__, "_cache": OrderedDict(), "_cached_samples": 0}
        del state["_lock"]
        return state

    def __setstate__(self, state: dict) -> None:
        """Take the settings and a lock of this process."""
        self.__dict__.update(state)
        self._lock = threading.Lock()
