"""Probes by name: each is a file with a subclass of `Probe`, and an entry in `PROBES`."""

from hf_rspin.evaluation.probes.base import CleanFeatures, Metric, Probe, Row, layer_rows
from hf_rspin.evaluation.probes.cka import CkaProbe
from hf_rspin.evaluation.probes.cost import CostProbe
from hf_rspin.evaluation.probes.geometry import GeometryProbe
from hf_rspin.evaluation.probes.linear_phones import LinearPhones
from hf_rspin.evaluation.probes.phone_recognition import PhoneRecognition
from hf_rspin.evaluation.probes.speaker_identification import SpeakerIdentification
from hf_rspin.evaluation.probes.units import UnitProbe

# The order is that of tables and reports.
PROBES: dict[str, type[Probe]] = {
    probe.name: probe
    for probe in (
        PhoneRecognition,
        LinearPhones,
        CkaProbe,
        SpeakerIdentification,
        UnitProbe,
        GeometryProbe,
        CostProbe,
    )
}

__all__ = [
    "PROBES",
    "CkaProbe",
    "CleanFeatures",
    "CostProbe",
    "GeometryProbe",
    "LinearPhones",
    "Metric",
    "PhoneRecognition",
    "Probe",
    "Row",
    "SpeakerIdentification",
    "UnitProbe",
    "layer_rows",
]
