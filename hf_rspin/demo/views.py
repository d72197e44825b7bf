"""The distorted view of a recording, made with the package's own transforms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

import numpy as np

from hf_rspin.audio import SAMPLING_RATE
from hf_rspin.evaluation.conditions import GaussianNoise, Telephone, synthesize_rirs
from hf_rspin.evaluation.conditions.codecs import CODECS, KBITS, through_codec
from hf_rspin.resources import SEEN_NOISES, UNSEEN_NOISES, sample_noises
from hf_rspin.views.noise import add_noise, reverberate
from hf_rspin.views.speaker_perturbation import SpeakerParameters, perturb_speaker

NONE, WHITE = "none", "white"
NOISES = (NONE, WHITE, *SEEN_NOISES, *UNSEEN_NOISES)
ROOMS = (NONE, "0.3 s", "0.6 s", "0.9 s", "1.2 s")  # reverberation times of synthesize_rirs(4)
UTTERANCE = "demo"  # decides what is drawn: the same every time


def _compressed(codec: str, severity: int) -> tuple[str, Callable[[np.ndarray], np.ndarray]]:
    setting, rate = CODECS[codec][severity - 1], KBITS[codec][severity - 1]
    name = {"mp3": "MP3"}.get(codec, codec.capitalize())
    return f"{name}, about {rate} kbit/s", partial(through_codec, setting=setting)


LINES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    NONE: lambda waveform: waveform,
    "telephone (G.711)": lambda waveform: Telephone(1)(waveform, UTTERANCE),
    "mobile phone (GSM)": lambda waveform: Telephone(3)(waveform, UTTERANCE),
    "two mobile phones (GSM twice)": lambda waveform: Telephone(4)(waveform, UTTERANCE),
    **dict(_compressed(*one) for one in (("opus", 2), ("opus", 4), ("mp3", 2), ("mp3", 4))),
}


@dataclass(frozen=True)
class ViewSettings:
    """What is done to a recording, in this order: voice, room, noise, line.

    Attributes:
        noise: one of `NOISES`.
        snr_db: power of the speech over that of the noise in dB, -20 to 60.
        room: one of `ROOMS`, a reverberation time.
        line: one of `LINES`, a telephone or codec.
        pitch: new F0 over the old one, 1/4 to 4; 1 changes nothing.
        formants: the same for the formants.

    Raises:
        ValueError: there is no such noise, room or line, or a number is out of range.
    """

    noise: str = NONE
    snr_db: float = 10.0
    room: str = NONE
    line: str = NONE
    pitch: float = 1.0
    formants: float = 1.0

    def __post_init__(self) -> None:
        for name, known in (("noise", NOISES), ("room", ROOMS), ("line", tuple(LINES))):
            if getattr(self, name) not in known:
                raise ValueError(
                    f"{name} is {getattr(self, name)!r}; expected one of {', '.join(known)}."
                )
        if not -20 <= self.snr_db <= 60:
            raise ValueError(f"the SNR is {self.snr_db} dB; expected -20 to 60.")
        for name in ("pitch", "formants"):
            if not 0.25 <= getattr(self, name) <= 4:
                raise ValueError(f"{name} is {getattr(self, name)}; expected 0.25 to 4.")

    def describe(self) -> str:
        """Return what is done, in words: "rain at 5 dB, room of 0.6 s"."""
        parts = []
        if self._changes_voice:
            parts.append(f"pitch x {self.pitch:g}, formants x {self.formants:g}")
        if self.room != NONE:
            parts.append(f"room of {self.room}")
        if self.noise != NONE:
            parts.append(f"{self.noise} noise at {self.snr_db:g} dB")
        if self.line != NONE:
            parts.append(self.line)
        return ", ".join(parts) or "nothing"

    @property
    def _changes_voice(self) -> bool:
        return (self.pitch, self.formants) != (1, 1)


def distort(waveform: np.ndarray, settings: ViewSettings) -> tuple[np.ndarray, list[str]]:
    """Return the distorted view, which keeps the length and the timing.

    Args:
        waveform: (samples,) float32 at 16 kHz.
        settings: what is done; equal settings give an equal view.

    Returns:
        (samples,) float32, not clipped, and sentences on what could not be done.

    Example:
        >>> heard, notes = distort(waveform, ViewSettings(noise="rain", snr_db=0.0))
    """
    notes: list[str] = []
    if settings._changes_voice:
        voice = SpeakerParameters(settings.formants, settings.pitch, 1.0)
        shift = perturb_speaker(waveform, SAMPLING_RATE, voice)
        waveform = shift.waveform
        if not shift.changed:
            notes.append("The voice stayed as it is: too little of the recording is voiced.")
    if settings.room != NONE:
        waveform = reverberate(waveform, _rooms()[ROOMS.index(settings.room) - 1])
    if settings.noise == WHITE:
        waveform = GaussianNoise(settings.snr_db)(waveform, UTTERANCE)
    elif settings.noise != NONE:
        waveform = add_noise(waveform, _noise(settings.noise), settings.snr_db)
    return LINES[settings.line](waveform), notes


@cache
def _rooms() -> list[np.ndarray]:
    return synthesize_rirs(len(ROOMS) - 1)


@cache
def _noises(condition: str) -> dict[str, np.ndarray]:
    return sample_noises(condition, takes=1)


def _noise(kind: str) -> np.ndarray:
    """Return 10 s of a kind of noise, which longer recordings hear again and again."""
    return _noises("seen" if kind in SEEN_NOISES else "unseen")[f"{kind}-0"]
