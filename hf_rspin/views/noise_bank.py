"""The noise that training and tests draw from: files, arrays and babble."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..audio import AudioError, AudioSource, audio_length, audio_name, read_audio
from .noise import SILENT_POWER, babble, fit_length, mean_power
from .noise_sources import as_sources, places_of_names
from .transform import check_rate

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 50
LONG_SECONDS = 60.0  # of longer files only the part drawn is read


class NoiseBank:
    """Noise to draw from: files or arrays, read when first drawn and kept up to a limit.

    Of files above a minute that have the bank's rate, only the part drawn is read. Several threads
    may share a bank. An utterance is never in its own babble where `speech_names` are given and
    `draw` is told its name.

    Args:
        sources: a folder, whose audio files are taken from all its subfolders; or a list of paths,
            encoded bytes, `datasets` audio cells, or arrays (samples,).
        sampling_rate: in Hz; files are resampled to it.
        speech_sources: utterances to mix babble from, given as `sources` are.
        babble_probability: how often `draw` gives babble instead of one of `sources`.
        babble_speakers: least and greatest number of utterances in babble.
        cache_seconds: audio kept in memory by each process, in seconds.
        speech_names: a different name for each of `speech_sources`, such as its utterance id.

    Raises:
        ValueError: nothing to draw from, babble without speech, names that do not tell the speech
            sources apart, a folder without audio, or an array that is not (samples,) of finite
            numbers.
    """

    def __init__(
        self,
        sources: str | Path | Sequence[AudioSource | np.ndarray],
        sampling_rate: int = 16_000,
        speech_sources: str | Path | Sequence[AudioSource | np.ndarray] = (),
        babble_probability: float = 0.0,
        babble_speakers: tuple[int, int] = (3, 7),
        cache_seconds: float = 7200.0,
        speech_names: Sequence[str] | None = None,
    ) -> None:
        check_rate(sampling_rate, "The noise bank")
        sources, speech_sources = as_sources(sources), as_sources(speech_sources)
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
        self._places = places_of_names(speech_names, len(speech_sources))
        self._cache: OrderedDict[tuple[bool, int], np.ndarray | None] = OrderedDict()
        self._cached_samples = 0
        self._lengths: dict[tuple[bool, int], int | None] = {}
        self._lock = threading.Lock()

    def draw(
        self, generator: np.random.Generator, num_samples: int, utterance: str | None = None
    ) -> np.ndarray:
        """Draw noise of (num_samples,) float32 that is not silent, from a random place.

        Args:
            generator: decides everything.
            num_samples: length of the noise.
            utterance: name of the utterance that the noise is added to, which stays out of babble;
                None, and names that the bank does not know, leave nothing out.

        Raises:
            ValueError: num_samples is below 1.
            AudioError: none of 50 tries gave audible noise.
        """
        if num_samples < 1:
            raise ValueError(f"got num_samples={num_samples} of noise to draw, expected 1 or more.")
        own_place = None if utterance is None else self._places.get(utterance)
        for _ in range(MAX_ATTEMPTS):
            if generator.random() < self.babble_probability:
                noise = self._draw_babble(generator, num_samples, own_place)
            else:
                index = int(generator.integers(0, len(self.sources)))
                noise = self._draw_segment(generator, num_samples, index, is_speech=False)
            if noise is not None:
                return noise
        raise AudioError(
            f"{MAX_ATTEMPTS} draws from the noise bank gave no audible noise: check its files"
            + (", and give babble at least two utterances." if self.babble_probability else ".")
        )

    def _draw_babble(
        self, generator: np.random.Generator, num_samples: int, own_place: int | None
    ) -> np.ndarray | None:
        """Mix utterances but the one at `own_place`; None where there is no other."""
        others = len(self.speech_sources) - (own_place is not None)
        if others == 0:
            return None
        voices = []
        for _ in range(int(generator.integers(*self.babble_speakers, endpoint=True))):
            index = int(generator.integers(0, others))
            if own_place is not None and index >= own_place:
                index += 1
            voices.append(self._draw_segment(generator, num_samples, index, is_speech=True))
        try:
            return babble([voice for voice in voices if voice is not None], num_samples)
        except ValueError:  # all of them silent here, or the voices cancel out
            return None

    def _draw_segment(
        self, generator: np.random.Generator, num_samples: int, index: int, is_speech: bool
    ) -> np.ndarray | None:
        sources = self.speech_sources if is_speech else self.sources
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
            length, is_long = 0, False
            if not isinstance(source, np.ndarray):
                with contextlib.suppress(AudioError):
                    length, is_long = audio_length(source, self.sampling_rate)  # where it seeks
            is_long = is_long and length > LONG_SECONDS * self.sampling_rate
            self._lengths[key] = length if is_long else None
        return self._lengths[key]

    def _read_part(self, source: AudioSource, start: int, num_samples: int) -> np.ndarray | None:
        try:
            segment = read_audio(source, self.sampling_rate, start, start + num_samples)
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
