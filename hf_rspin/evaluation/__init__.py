"""Frozen features under test conditions: probes, one long table, plots, reports.

A probe is one file in `probes/`; `Evaluation` runs encoders through conditions and probes and keeps
every finished cell; `to_table` makes the long table that plots and reports are drawn from.
"""

from hf_rspin.evaluation.bootstrap import bootstrap_interval, paired_difference
from hf_rspin.evaluation.conditions import (
    BackgroundNoise,
    Clean,
    GaussianNoise,
    Reverberation,
    synthesize_rirs,
)
from hf_rspin.evaluation.evaluate import Cell, Evaluation
from hf_rspin.evaluation.evaluation_set import EvaluationSet
from hf_rspin.evaluation.features import (
    LogMelFeatures,
    MfccFeatures,
    PretrainedEncoderFeatures,
    load_features,
)
from hf_rspin.evaluation.metrics import (
    CharacterErrorRate,
    ErrorCounts,
    PhoneErrorRate,
    WordErrorRate,
    count_errors,
)
from hf_rspin.evaluation.probes import (
    PROBES,
    CkaProbe,
    GeometryProbe,
    Metric,
    PhoneRecognition,
    Probe,
    Row,
    SpeakerIdentification,
    UnitProbe,
)
from hf_rspin.evaluation.probes.featurizer import WeightedLayerSum
from hf_rspin.evaluation.probes.phone_probe import PhoneProbe, ProbeArguments, train_probe
from hf_rspin.evaluation.probes.speaker_identification import SpeakerProbe
from hf_rspin.evaluation.query_by_example import RetrievalScores, match_score, retrieve
from hf_rspin.evaluation.similarity import LinearCKA, linear_cka
from hf_rspin.evaluation.splits import hold_out_speakers, split_within_speakers
from hf_rspin.evaluation.table import to_table
from hf_rspin.evaluation.unit_quality import UnitQuality, unit_quality

__all__ = [
    "PROBES",
    "BackgroundNoise",
    "Cell",
    "CharacterErrorRate",
    "CkaProbe",
    "Clean",
    "PretrainedEncoderFeatures",
    "ErrorCounts",
    "Evaluation",
    "GaussianNoise",
    "GeometryProbe",
    "LinearCKA",
    "LogMelFeatures",
    "Metric",
    "MfccFeatures",
    "PhoneErrorRate",
    "PhoneProbe",
    "PhoneRecognition",
    "Probe",
    "ProbeArguments",
    "RetrievalScores",
    "Reverberation",
    "Row",
    "SpeakerIdentification",
    "SpeakerProbe",
    "UnitProbe",
    "UnitQuality",
    "EvaluationSet",
    "WeightedLayerSum",
    "WordErrorRate",
    "bootstrap_interval",
    "count_errors",
    "hold_out_speakers",
    "linear_cka",
    "load_features",
    "match_score",
    "paired_difference",
    "retrieve",
    "synthesize_rirs",
    "split_within_speakers",
    "to_table",
    "train_probe",
    "unit_quality",
]
