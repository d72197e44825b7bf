"""Frozen features under test conditions: probes, error rates and their uncertainty."""

from hf_rspin.evaluation.bootstrap import bootstrap_interval, paired_difference
from hf_rspin.evaluation.distortions import (
    BackgroundNoise,
    Clean,
    GaussianNoise,
    Rooms,
    simulate_rooms,
)
from hf_rspin.evaluation.featurizer import (
    EncoderFrontEnd,
    LogMelFrontEnd,
    WeightedLayerSum,
    load_front_end,
)
from hf_rspin.evaluation.metrics import (
    CharacterErrorRate,
    ErrorCounts,
    PhoneErrorRate,
    WordErrorRate,
    count_errors,
)
from hf_rspin.evaluation.phone_recognition import PhoneProbe, ProbeArguments, train_probe
from hf_rspin.evaluation.query_by_example import RetrievalScores, match_score, retrieve
from hf_rspin.evaluation.speaker_identification import SpeakerProbe, split_within_speakers
from hf_rspin.evaluation.utterances import Utterances

__all__ = [
    "BackgroundNoise",
    "CharacterErrorRate",
    "Clean",
    "EncoderFrontEnd",
    "ErrorCounts",
    "GaussianNoise",
    "LogMelFrontEnd",
    "PhoneErrorRate",
    "PhoneProbe",
    "ProbeArguments",
    "RetrievalScores",
    "Rooms",
    "SpeakerProbe",
    "Utterances",
    "WeightedLayerSum",
    "WordErrorRate",
    "bootstrap_interval",
    "count_errors",
    "load_front_end",
    "match_score",
    "paired_difference",
    "retrieve",
    "simulate_rooms",
    "split_within_speakers",
    "train_probe",
]
