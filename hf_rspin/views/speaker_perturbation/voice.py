"""Change of voice: formants, pitch and pitch range, without a speaker table.

Spin's speaker perturbation (arXiv 2311.09117, section 2; voice part): the formants move by a
ratio, the median F0 by another, and F0 around its median by a third. Where the authors look the
F0 range of the speaker up in a table, ours comes from the utterance itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ...audio import SAMPLING_RATE
from ..transform import Transform, UtteranceInfo, check_waveform
from .pitch import F0Track, track_voice
from .psola import overlap_add

MIN_VOICED_FRAMES = 3
MAX_FORMANT_RATIO, MAX_PITCH_RATIO, MAX_PITCH_RANGE_RATIO = 1.4, 2.0, 1.5
LARGEST_RATIO = 4.0


@dataclass(frozen=True)
class SpeakerParameters:
    """What one change of voice applies: three ratios, new over old."""

    formant_ratio: float
    pitch_ratio: float
    pitch_range_ratio: float


@dataclass(frozen=True)
class VoiceShift:
    """A changed waveform (samples,) float32; `changed` is False where the change was skipped.

    It is skipped, and the waveform equals the input, where the input is silent, unvoiced or too
    short to tell. `median_f0` is that of the input in Hz, 0 where skipped.
    """

    waveform: np.ndarray
    changed: bool
    median_f0: float


def draw_speaker(generator: np.random.Generator) -> SpeakerParameters:
    """Draw U(1, 1.4), U(1, 2), U(1, 1.5), each inverted with probability 1/2."""
    limits = (MAX_FORMANT_RATIO, MAX_PITCH_RATIO, MAX_PITCH_RANGE_RATIO)
    ratios = generator.uniform(1.0, limits)
    inverted = generator.random(3) < 0.5
    return SpeakerParameters(*(float(r) for r in np.where(inverted, 1.0 / ratios, ratios)))


def shift_voice(
    waveform: np.ndarray,
    sampling_rate: int,
    formant_ratio: float,
    pitch_ratio: float,
    pitch_range_ratio: float,
    f0_range: tuple[float, float] | None = None,
) -> np.ndarray:
    """Change a voice; see `perturb_speaker`. Returns (samples,) float32, as long as the input."""
    parameters = SpeakerParameters(formant_ratio, pitch_ratio, pitch_range_ratio)
    return perturb_speaker(waveform, sampling_rate, parameters, f0_range).waveform


def perturb_speaker(
    waveform: np.ndarray,
    sampling_rate: int,
    parameters: SpeakerParameters,
    f0_range: tuple[float, float] | None = None,
) -> VoiceShift:
    """Move the formants and the F0 contour of a voice, keeping its duration.

    Args:
        waveform: (samples,), any level.
        sampling_rate: in Hz.
        parameters: with m the median F0 and m' = m * pitch_ratio, F0 f becomes
            m' + (f * pitch_ratio - m') * pitch_range_ratio, at least 0; formants are multiplied
            by `formant_ratio`. Ratios between 1/4 and 4.
        f0_range: (floor, ceiling) of the voice in Hz; estimated where None.

    Returns:
        The changed waveform, of exactly the input's length, not clipped.

    Raises:
        ValueError: the waveform is not (samples,) of finite floats, or a ratio is out of range.
    """
    samples = check_waveform(waveform, "The change of voice").astype(np.float32, copy=False)
    _check_ratios(parameters)
    track = track_voice(samples, sampling_rate, f0_range)
    if track is None or len(track.voiced_frequencies) < MIN_VOICED_FRAMES:
        return VoiceShift(samples.copy(), changed=False, median_f0=0.0)
    offset = np.float32(samples.mean(dtype=np.float64))
    output = overlap_add(
        samples - offset,
        sampling_rate,
        track,
        _new_contour(track, parameters),
        parameters.formant_ratio,
    )
    return VoiceShift(output + offset, changed=True, median_f0=track.median)


def _new_contour(track: F0Track, parameters: SpeakerParameters) -> np.ndarray:
    """Return the F0 wanted in each frame (frames,) in Hz; meaningless where unvoiced."""
    median = track.median * parameters.pitch_ratio
    scaled = track.frequencies * parameters.pitch_ratio
    return np.maximum(0.0, median + (scaled - median) * parameters.pitch_range_ratio)


def _check_ratios(parameters: SpeakerParameters) -> None:
    for name, ratio in vars(parameters).items():
        if not 1 / LARGEST_RATIO <= ratio <= LARGEST_RATIO:
            raise ValueError(
                f"The change of voice got {name}={ratio}, expected a number from "
                f"{1 / LARGEST_RATIO} to {LARGEST_RATIO} (1 changes nothing)."
            )


class SpeakerPerturbation(Transform):
    """Spin's change of speaker; skipped where nothing is voiced.

    Args:
        sampling_rate: of the waveforms in Hz.
        formants: False leaves the formants where they are: pitch and pitch range alone.
    """

    name = "speaker_perturbation"

    def __init__(self, sampling_rate: int = SAMPLING_RATE, formants: bool = True):
        self.sampling_rate, self.formants = sampling_rate, formants

    def draw(
        self, generator: np.random.Generator, utterance: UtteranceInfo
    ) -> tuple[SpeakerParameters, tuple[float, float] | None]:
        """Draw the ratios; the F0 range of the utterance goes with them."""
        voice = draw_speaker(generator)  # all of it: the other ratios stay what they were
        return voice if self.formants else replace(voice, formant_ratio=1.0), utterance.f0_range

    def apply(
        self,
        waveform: np.ndarray,
        parameters: tuple[SpeakerParameters, tuple[float, float] | None],
    ) -> np.ndarray:
        """Change the voice of (samples,)."""
        voice, f0_range = parameters
        shift = perturb_speaker(waveform, self.sampling_rate, voice, f0_range)
        return shift.waveform if shift.changed else waveform
