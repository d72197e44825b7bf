"""Two aligned views of one utterance: lists of transforms, and the presets of the papers."""

from .additive_noise import LATER_SNRS_DB, AddNoise
from .alignment import measure_delays
from .audiomentation import Audiomentation
from .codec import Codec
from .compose import Chain, ComposedViews, ViewPair
from .equalizer import Equalizer, parametric_equalizer
from .noise_bank import NoiseBank
from .presets import LaserViews, RSpinViews, SpinViews, build_views
from .registry import TRANSFORMS, augmentation_list
from .speaker_perturbation import (
    ANALYSIS_RATE,
    SpeakerParameters,
    SpeakerPerturbation,
    draw_speaker,
    estimate_f0,
    estimate_f0_range,
    perturb_speaker,
    shift_voice,
)
from .speed_pitch import LATER_SPEEDS, WAVLM_SPEEDS, SpeedPitch, change_speed_and_pitch, time_scale
from .transform import Clip, DrawOnly, Sometimes, Transform, UtteranceInfo, check_waveform

ViewNoise = AddNoise  # the name of version 0.1

__all__ = [
    "ANALYSIS_RATE",
    "LATER_SNRS_DB",
    "LATER_SPEEDS",
    "TRANSFORMS",
    "WAVLM_SPEEDS",
    "AddNoise",
    "Audiomentation",
    "Chain",
    "Clip",
    "Codec",
    "ComposedViews",
    "DrawOnly",
    "Equalizer",
    "LaserViews",
    "NoiseBank",
    "RSpinViews",
    "Sometimes",
    "SpeakerParameters",
    "SpeakerPerturbation",
    "SpeedPitch",
    "SpinViews",
    "Transform",
    "UtteranceInfo",
    "ViewNoise",
    "ViewPair",
    "augmentation_list",
    "build_views",
    "change_speed_and_pitch",
    "check_waveform",
    "draw_speaker",
    "estimate_f0",
    "estimate_f0_range",
    "measure_delays",
    "parametric_equalizer",
    "perturb_speaker",
    "shift_voice",
    "time_scale",
]
