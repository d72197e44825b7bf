"""Frozen features under test conditions: probes, one long table, plots, reports.

A probe is one file in `probes/`; `Evaluation` runs encoders through conditions and probes and keeps
every finished cell; `to_table` makes the long table that plots and reports are drawn from. Numbers
that need arrays only are in `measures/`.
"""

from hf_rspin.evaluation.conditions import (
    CONDITIONS,
    Babble,
    BackgroundNoise,
    GaussianNoise,
    Reverberation,
    make_conditions,
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
from hf_rspin.evaluation.long_table import over_seeds, to_table
from hf_rspin.evaluation.measures.abx import abx_error
from hf_rspin.evaluation.measures.cross_validated_pwcca import cross_validated_pwcca
from hf_rspin.evaluation.measures.geometry import alignment, effective_rank, uniformity
from hf_rspin.evaluation.measures.mutual_information import layer_mutual_information
from hf_rspin.evaluation.measures.pwcca import PWCCA
from hf_rspin.evaluation.measures.query_by_example import match_score, retrieve
from hf_rspin.evaluation.measures.segmentation import (
    SegmentationScores,
    equal_length_boundaries,
    segmentation_scores,
    unit_boundaries,
)
from hf_rspin.evaluation.measures.similarity import LinearCKA, linear_cka
from hf_rspin.evaluation.measures.spoken_sts import spoken_sts
from hf_rspin.evaluation.measures.term_detection import maximum_term_weighted_value
from hf_rspin.evaluation.measures.unit_quality import (
    cluster_purity,
    phone_given_unit,
    phone_normalized_mutual_information,
    phone_purity,
    unit_quality,
)
from hf_rspin.evaluation.probes import (
    PROBES,
    AbxProbe,
    CkaProbe,
    GeometryProbe,
    LayerInformation,
    LinearPhones,
    Metric,
    PhoneRecognition,
    Probe,
    PwccaProbe,
    QueryByExample,
    SegmentationProbe,
    SpeakerIdentification,
    SpeechRecognition,
    UnitProbe,
    VoiceProbe,
    WordRetrieval,
    make_probes,
)
from hf_rspin.evaluation.probes.speaker_identification import SpeakerProbe
from hf_rspin.evaluation.probes.trained.arguments import ProbeArguments
from hf_rspin.evaluation.probes.trained.folder import load_probe
from hf_rspin.evaluation.probes.trained.layer_sum import WeightedLayerSum
from hf_rspin.evaluation.splits import hold_out_speakers, split_within_speakers

__all__ = [
    "CONDITIONS",
    "PROBES",
    "PWCCA",
    "AbxProbe",
    "Babble",
    "BackgroundNoise",
    "CkaProbe",
    "Evaluation",
    "EvaluationSet",
    "GaussianNoise",
    "GeometryProbe",
    "LayerInformation",
    "LinearCKA",
    "LinearPhones",
    "LogMelFeatures",
    "Metric",
    "PhoneRecognition",
    "PretrainedEncoderFeatures",
    "Probe",
    "ProbeArguments",
    "PwccaProbe",
    "QueryByExample",
    "Reverberation",
    "SegmentationProbe",
    "SegmentationScores",
    "SpeakerIdentification",
    "SpeakerProbe",
    "SpeechRecognition",
    "UnitProbe",
    "VoiceProbe",
    "WeightedLayerSum",
    "WhisperFeatures",
    "WordRetrieval",
    "abx_error",
    "alignment",
    "cluster_purity",
    "cross_validated_pwcca",
    "effective_rank",
    "equal_length_boundaries",
    "hold_out_speakers",
    "layer_mutual_information",
    "linear_cka",
    "load_features",
    "load_probe",
    "make_conditions",
    "make_probes",
    "match_score",
    "maximum_term_weighted_value",
    "over_seeds",
    "phone_given_unit",
    "phone_normalized_mutual_information",
    "phone_purity",
    "retrieve",
    "segmentation_scores",
    "split_within_speakers",
    "spoken_sts",
    "synthesize_rirs",
    "to_table",
    "uniformity",
    "unit_boundaries",
    "unit_quality",
]
