"""Test conditions: what happens to the audio of a test utterance, the same every time."""

from hf_rspin.evaluation.conditions.bands import HighPass, LowPass, Resampling
from hf_rspin.evaluation.conditions.base import (
    CLEAN,
    Clean,
    Described,
    Distortion,
    condition_fingerprint,
    fingerprints,
    utterance_generator,
)
from hf_rspin.evaluation.conditions.clipping import Clipping
from hf_rspin.evaluation.conditions.codecs import Compression, Telephone
from hf_rspin.evaluation.conditions.echo import Echo
from hf_rspin.evaluation.conditions.graded import DEFAULT_SEVERITY, SEVERITIES, GradedDistortion
from hf_rspin.evaluation.conditions.noise import (
    Babble,
    BackgroundNoise,
    GaussianNoise,
    SpeechPool,
)
from hf_rspin.evaluation.conditions.packet_loss import PacketLoss
from hf_rspin.evaluation.conditions.pitch import PitchShift
from hf_rspin.evaluation.conditions.possible import make_possible_conditions
from hf_rspin.evaluation.conditions.registry import (
    ALIASES,
    CONDITIONS,
    SYNTHETIC,
    check_names,
    make_conditions,
    severities_in_words,
)
from hf_rspin.evaluation.conditions.rooms import Reverberation, synthesize_rirs

__all__ = [
    "ALIASES",
    "CLEAN",
    "CONDITIONS",
    "DEFAULT_SEVERITY",
    "SEVERITIES",
    "SYNTHETIC",
    "Babble",
    "BackgroundNoise",
    "Clean",
    "Clipping",
    "Compression",
    "Described",
    "Distortion",
    "Echo",
    "GaussianNoise",
    "GradedDistortion",
    "HighPass",
    "LowPass",
    "PacketLoss",
    "PitchShift",
    "Resampling",
    "Reverberation",
    "SpeechPool",
    "Telephone",
    "check_names",
    "condition_fingerprint",
    "fingerprints",
    "make_conditions",
    "make_possible_conditions",
    "severities_in_words",
    "synthesize_rirs",
    "utterance_generator",
]
