"""Two aligned views of one utterance: change of voice, equaliser, noise, rooms, and recipes."""

from .equalizer import EqualizerParameters, draw_equalizer, parametric_equalizer
from .laser import LaserParameters, LaserViews, ViewNoise
from .noise import (
    add_noise,
    babble,
    fit_length,
    gaussian_noise,
    mean_power,
    reverberate,
    synthesize_room_response,
)
from .noise_bank import NoiseBank
from .pitch import F0Track, estimate_f0, estimate_f0_range
from .recipes import NoiseParameters, RSpinViews, SpinViews, ViewPair, ViewParameters
from .time_scale import change_speed_and_pitch, time_scale
from .voice import VoiceParameters, VoiceShift, change_voice, draw_voice, shift_voice

__all__ = [
    "EqualizerParameters",
    "F0Track",
    "LaserParameters",
    "LaserViews",
    "NoiseBank",
    "NoiseParameters",
    "RSpinViews",
    "SpinViews",
    "ViewNoise",
    "ViewPair",
    "ViewParameters",
    "VoiceParameters",
    "VoiceShift",
    "add_noise",
    "babble",
    "change_speed_and_pitch",
    "change_voice",
    "draw_equalizer",
    "draw_voice",
    "estimate_f0",
    "estimate_f0_range",
    "fit_length",
    "gaussian_noise",
    "mean_power",
    "parametric_equalizer",
    "reverberate",
    "shift_voice",
    "synthesize_room_response",
    "time_scale",
]
