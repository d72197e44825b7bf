"""Two aligned views of one utterance: lists of transforms, and the presets of the papers."""

from .additive_noise import LATER_SNRS_DB, RSPIN_SNR_RANGE_DB, AddNoise, NoiseParameters
from .alignment import check_alignment, measure_delays
from .audiomentation import Audiomentation
from .codec import Codec, CodecSetting
from .compose import Chain, ComposedViews, ViewPair, ViewParameters
from .equalizer import Equalizer, EqualizerParameters, draw_equalizer, parametric_equalizer
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
from .presets import (
    PRESETS,
    LaserViews,
    RSpinViews,
    SpinViews,
    build_views,
)
from .registry import AUGMENTATION_PROBABILITY, TRANSFORMS, as_transform, augmentation_list
from .speaker_perturbation import (
    ANALYSIS_RATE,
    F0Track,
    SpeakerParameters,
    SpeakerPerturbation,
    VoiceShift,
    draw_speaker,
    estimate_f0,
    estimate_f0_range,
    perturb_speaker,
    shift_voice,
)
from .speed_pitch import (
    HUBERT_SPEEDS,
    LATER_SPEEDS,
    SCORE_WAVLM_SPEEDS,
    WAVLM_SPEEDS,
    SpeedPitch,
    SpeedPitchParameters,
    change_speed_and_pitch,
    time_scale,
)
from .transform import Clip, DrawOnly, Sometimes, Transform, UtteranceInfo, check_waveform

ViewNoise = AddNoise  # the name of version 0.1

__all__ = [
    "AUGMENTATION_PROBABILITY",
    "as_transform",
    "ANALYSIS_RATE",
    "HUBERT_SPEEDS",
    "LATER_SNRS_DB",
    "LATER_SPEEDS",
    "PRESETS",
    "RSPIN_SNR_RANGE_DB",
    "SCORE_WAVLM_SPEEDS",
    "TRANSFORMS",
    "WAVLM_SPEEDS",
    "AddNoise",
    "Audiomentation",
    "Chain",
    "Clip",
    "Codec",
    "CodecSetting",
    "ComposedViews",
    "DrawOnly",
    "Equalizer",
    "EqualizerParameters",
    "F0Track",
    "LaserViews",
    "NoiseBank",
    "NoiseParameters",
    "RSpinViews",
    "Sometimes",
    "SpeakerPerturbation",
    "SpeedPitch",
    "SpeedPitchParameters",
    "SpinViews",
    "Transform",
    "UtteranceInfo",
    "ViewNoise",
    "ViewPair",
    "ViewParameters",
    "SpeakerParameters",
    "VoiceShift",
    "add_noise",
    "augmentation_list",
    "babble",
    "build_views",
    "change_speed_and_pitch",
    "perturb_speaker",
    "check_alignment",
    "check_waveform",
    "draw_equalizer",
    "draw_speaker",
    "estimate_f0",
    "estimate_f0_range",
    "fit_length",
    "gaussian_noise",
    "mean_power",
    "measure_delays",
    "parametric_equalizer",
    "reverberate",
    "shift_voice",
    "synthesize_room_response",
    "time_scale",
]
