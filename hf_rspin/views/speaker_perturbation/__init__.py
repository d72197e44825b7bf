"""Another speaker for the same words: F0 track, pulse marks, overlap-add, change of voice."""

from .pitch import ANALYSIS_RATE, F0Track, estimate_f0, estimate_f0_range
from .voice import (
    SpeakerParameters,
    SpeakerPerturbation,
    VoiceShift,
    draw_speaker,
    perturb_speaker,
    shift_voice,
)

__all__ = [
    "ANALYSIS_RATE",
    "F0Track",
    "SpeakerPerturbation",
    "SpeakerParameters",
    "VoiceShift",
    "perturb_speaker",
    "draw_speaker",
    "estimate_f0",
    "estimate_f0_range",
    "shift_voice",
]
