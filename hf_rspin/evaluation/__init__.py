"""Frozen features under test conditions: probes, one long table, plots, reports.

A probe is one file in `probes/`; `Evaluation` runs encoders through conditions and probes and keeps
every finished cell; `to_table` makes the long table that plots and reports are drawn from.
"""

from hf_rspin.evaluation.conditions import (
    BackgroundNoise,
    GaussianNoise,
    Reverberation,
    synthesize_rirs,
)
from hf_rspin.evaluation.evaluate import Evaluation
from hf_rspin.evaluation.evaluation_set import EvaluationSet
from hf_rspin.evaluation.features import (
    LogMelFeatures,
    PretrainedEncoderFeatures,
    WhisperFeatures,
    load_features,
)
from hf_rspin.evaluation.measures.query_by_example import match_score, retrieve
from hf_rspin.evaluation.measures.similarity import LinearCKA, linear_cka
from hf_rspin.evaluation.measures.unit_quality import unit_quality
from hf_rspin.evaluation.probes import (
    PROBES,
    CkaProbe,
    GeometryProbe,
    LinearPhones,
    Metric,
    PhoneRecognition,
    Probe,
    SpeakerIdentification,
    UnitProbe,
)
from hf_rspin.evaluation.probes.phone_probe import ProbeArguments, WeightedLayerSum
from hf_rspin.evaluation.probes.speaker_identification import SpeakerProbe
from hf_rspin.evaluation.splits import hold_out_speakers, split_within_speakers
from hf_rspin.evaluation.table import to_table

__all__ = [
    "PROBES",
    "BackgroundNoise",
    "CkaProbe",
    "Evaluation",
    "EvaluationSet",
    "GaussianNoise",
    "GeometryProbe",
    "LinearCKA",
    "LinearPhones",
    "LogMelFeatures",
    "Metric",
    "PhoneRecognition",
    "PretrainedEncoderFeatures",
    "Probe",
    "ProbeArguments",
    "Reverberation",
    "SpeakerIdentification",
    "SpeakerProbe",
    "UnitProbe",
    "WeightedLayerSum",
    "WhisperFeatures",
    "hold_out_speakers",
    "linear_cka",
    "load_features",
    "match_score",
    "retrieve",
    "split_within_speakers",
    "synthesize_rirs",
    "to_table",
    "unit_quality",
]
