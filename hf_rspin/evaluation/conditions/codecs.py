"""Conditions that send speech through codecs: compressed files, and a telephone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
import scipy.signal
import soxr

from hf_rspin.audio import SAMPLING_RATE
from hf_rspin.evaluation.conditions.bands import cut_or_pad, zero_phase_filter
from hf_rspin.evaluation.conditions.base import utterance_generator
from hf_rspin.evaluation.conditions.graded import GradedDistortion
from hf_rspin.views.alignment import probe
from hf_rspin.views.codec import (
    TELEPHONE_BAND_HZ,
    TELEPHONE_RATE,
    TELEPHONE_SETTINGS,
    CodecSetting,
    round_trip,
)

# One per severity.
CODECS = {
    "opus": [CodecSetting("OGG", "OPUS", c) for c in (0.9, 0.97, 0.99, 1.0)],
    "mp3": [CodecSetting("MP3", "MPEG_LAYER_III", c) for c in (0.7, 0.9, 0.97, 0.99)],
    "vorbis": [CodecSetting("OGG", "VORBIS", c) for c in (0.5, 0.7, 0.9, 1.0)],
}
# kbit/s, about, measured on speech; Opus with its Ogg pages. Vorbis cannot be small at 16 kHz.
KBITS = {"opus": (29, 16, 11, 9), "mp3": (58, 28, 16, 12), "vorbis": (48, 40, 33, 30)}
_MU_LAW, _A_LAW, _GSM = TELEPHONE_SETTINGS
# What a call passes: 1 the fixed network, 2 that or a mobile, 3 a mobile, 4 a mobile at both ends.
TELEPHONE_LINES: tuple[tuple[tuple[CodecSetting, ...], ...], ...] = (
    ((_MU_LAW,), (_A_LAW,)),
    ((_MU_LAW,), (_A_LAW,), (_GSM,)),
    ((_GSM,),),
    ((_GSM, _GSM),),
)
TELEPHONE_NAMES = ("G.711", "G.711 or GSM", "GSM", "GSM twice")
LONGEST_DELAY = SAMPLING_RATE // 5  # samples


@dataclass(frozen=True)
class Compression(GradedDistortion):
    """Opus, MP3 or Vorbis at 16 kHz, drawn by the utterance id, from about 45 to 17 kbit/s.

    The delay of the codec is measured and taken back. Speech above full scale is scaled into it
    and back.

    Args:
        severity: 1 to 4, see `CODECS`.
        seed: another one draws other codecs.

    Raises:
        soundfile.LibsndfileError: (when called) this libsndfile was built without a codec.
    """

    kind: ClassVar[str] = "codec"
    seed: int = 0

    def describe(self) -> str:
        """See `GradedDistortion`."""
        rates = ", ".join(str(KBITS[codec][self.severity - 1]) for codec in CODECS)
        return f"about {rates} kbit/s (Opus, MP3, Vorbis)"

    def __call__(self, waveform: np.ndarray, utterance: str) -> np.ndarray:
        """Encode and decode (samples,)."""
        rng = utterance_generator(self.seed, self.kind, utterance)
        codec = list(CODECS)[int(rng.integers(len(CODECS)))]
        return through_codec(waveform, CODECS[codec][self.severity - 1])


@dataclass(frozen=True)
class Telephone(GradedDistortion):
    """A call: 300 to 3400 Hz, then G.711 (mu-law or A-law) or GSM 06.10 at 8 kHz.

    Args:
        severity: 1 is G.711; 2 draws among mu-law, A-law and GSM by the utterance id; 3 is GSM;
            4 is GSM twice.
        seed: another one draws other codecs.
    """

    kind: ClassVar[str] = "telephone"
    seed: int = 0

    def describe(self) -> str:
        """See `GradedDistortion`."""
        low, high = TELEPHONE_BAND_HZ
        return f"{low:g} to {high:g} Hz, {TELEPHONE_NAMES[self.severity - 1]}"

    def __call__(self, waveform: np.ndarray, utterance: str) -> np.ndarray:
        """Call somebody with (samples,)."""
        rng = utterance_generator(self.seed, self.kind, utterance)
        lines = TELEPHONE_LINES[self.severity - 1]
        heard = zero_phase_filter(waveform, TELEPHONE_BAND_HZ, "bandpass", order=4)
        for setting in lines[int(rng.integers(len(lines)))]:
            heard = through_codec(heard, setting, TELEPHONE_RATE)
        return heard


def through_codec(
    waveform: np.ndarray, setting: CodecSetting, codec_rate: int = SAMPLING_RATE
) -> np.ndarray:
    """Encode and decode a waveform in memory, without the delay of the codec.

    Args:
        waveform: (samples,) at 16 kHz, of any loudness; silence stays silence.
        setting: of the codec.
        codec_rate: sampling rate inside the codec in Hz; below 16 kHz the band is cut.

    Returns:
        (samples,) float32.
    """
    peak = float(np.abs(waveform).max(initial=0.0))
    if peak == 0.0:
        return waveform.copy()
    scale = np.float32(max(1.0, peak))
    # the silence behind is long enough for every codec, and takes what a delay pushes out
    longer = np.pad(waveform / scale, (0, LONGEST_DELAY))
    decoded = _coded(longer, setting, codec_rate)[_delay(setting, codec_rate) :]
    return cut_or_pad(decoded, len(waveform)) * scale


def measure_delay(codec: Callable[[np.ndarray], np.ndarray]) -> int:
    """Return how many samples later a codec plays what it got: where the two correlate best.

    Args:
        codec: takes and gives (samples,) at 16 kHz.

    Returns:
        0 to 3200 (0.2 s).
    """
    sound = probe(SAMPLING_RATE)
    heard = cut_or_pad(codec(np.pad(sound, (0, LONGEST_DELAY))), len(sound) + LONGEST_DELAY)
    return int(np.argmax(scipy.signal.correlate(heard, sound, "valid")))


@lru_cache
def _delay(setting: CodecSetting, codec_rate: int) -> int:
    """Return what this libsndfile leaves of the delay of a codec, in samples at 16 kHz."""
    return measure_delay(lambda sound: _coded(sound, setting, codec_rate))


def _coded(waveform: np.ndarray, setting: CodecSetting, codec_rate: int) -> np.ndarray:
    """Encode and decode (samples,) at 16 kHz; the end may be longer."""
    decoded = round_trip(soxr.resample(waveform, SAMPLING_RATE, codec_rate), codec_rate, setting)
    return soxr.resample(decoded, codec_rate, SAMPLING_RATE)
