"""Test conditions: what happens to the audio of a test utterance, the same every time."""

from hf_rspin.evaluation.conditions.base import (
    CLEAN,
    BackgroundNoise,
    Clean,
    Distortion,
    GaussianNoise,
    Reverberation,
    condition_fingerprint,
    synthesize_rirs,
    utterance_generator,
)

__all__ = [
    "CLEAN",
    "BackgroundNoise",
    "Clean",
    "Distortion",
    "GaussianNoise",
    "Reverberation",
    "condition_fingerprint",
    "synthesize_rirs",
    "utterance_generator",
]
