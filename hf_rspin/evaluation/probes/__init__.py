"""Probes by name: each is a file with a subclass of `Probe`, and an entry in `PROBES`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from hf_rspin.evaluation.probe_arguments import ProbeArguments
from hf_rspin.evaluation.probes.abx import AbxProbe
from hf_rspin.evaluation.probes.base import (
    CleanFeatures,
    Drawing,
    Metric,
    Probe,
    Row,
    layer_rows,
)
from hf_rspin.evaluation.probes.cka import CkaProbe
from hf_rspin.evaluation.probes.cost import CostProbe
from hf_rspin.evaluation.probes.frames_plane import FramesPlane
from hf_rspin.evaluation.probes.geometry import GeometryProbe
from hf_rspin.evaluation.probes.linear_phones import LinearPhones
from hf_rspin.evaluation.probes.mutual_information import LayerInformation
from hf_rspin.evaluation.probes.phone_recognition import PhoneRecognition
from hf_rspin.evaluation.probes.pwcca import PwccaProbe
from hf_rspin.evaluation.probes.query_by_example import QueryByExample
from hf_rspin.evaluation.probes.retrieval import WordRetrieval
from hf_rspin.evaluation.probes.segmentation import SegmentationProbe
from hf_rspin.evaluation.probes.speaker_identification import SpeakerIdentification
from hf_rspin.evaluation.probes.speech_recognition import SpeechRecognition
from hf_rspin.evaluation.probes.spoken_sts import SpokenSts
from hf_rspin.evaluation.probes.units import UnitProbe
from hf_rspin.evaluation.probes.voice import VoiceProbe
from hf_rspin.nearby import did_you_mean

# The order is that of tables and reports.
PROBES: dict[str, type[Probe]] = {
    probe.name: probe
    for probe in (
        PhoneRecognition,
        SpeechRecognition,
        LinearPhones,
        CkaProbe,
        SpeakerIdentification,
        AbxProbe,
        QueryByExample,
        WordRetrieval,
        UnitProbe,
        VoiceProbe,
        SegmentationProbe,
        PwccaProbe,
        LayerInformation,
        SpokenSts,
        GeometryProbe,
        FramesPlane,
        CostProbe,
    )
}
ALIASES = {"phones": "pr", "speakers": "sid"}  # of earlier versions


def make_probes(
    names: Sequence[str],
    arguments: ProbeArguments | None = None,
    seeds: Iterable[int] | None = None,
    special: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[Probe]:
    """Return the probes of the given names, in the order of tables.

    Args:
        names: some of `PROBES`; `ALIASES` are understood.
        arguments: of those that are trained.
        seeds: those that learn come once per seed, the others with the first; default that of
            `arguments`.
        special: settings of some probes, by their name.

    Raises:
        ValueError: there is no such probe, or a setting is wrong.

    Example:
        >>> probes = make_probes(["pr", "cka"], ProbeArguments(learning_rate=5e-3), range(3))
        >>> [probe.name for probe in probes]  # what learns nothing comes once
        ['pr', 'pr', 'pr', 'cka']
    """
    wanted, seeds = {ALIASES.get(name, name) for name in names}, list(seeds or ())
    arguments = arguments or ProbeArguments()
    seeds = seeds or [arguments.seed]
    unknown = sorted(wanted - set(PROBES))
    if unknown:
        raise ValueError(
            f"got --probes {unknown[0]}; expected some of {', '.join(PROBES)}"
            f"{did_you_mean(unknown[0], PROBES)}"
        )
    made = []
    for name, kind in PROBES.items():
        known = {field.name for field in fields(kind)} if name in wanted else set()
        given = dict((special or {}).get(name, {}))
        if "arguments" in known:
            given.setdefault("arguments", arguments)
        for seed in seeds[: None if kind.seeded else 1] if name in wanted else ():
            made.append(kind(**given, **({"seed": seed} if "seed" in known else {})))
    return made


__all__ = [
    "ALIASES",
    "PROBES",
    "AbxProbe",
    "CkaProbe",
    "CleanFeatures",
    "CostProbe",
    "Drawing",
    "FramesPlane",
    "GeometryProbe",
    "LayerInformation",
    "LinearPhones",
    "Metric",
    "PhoneRecognition",
    "Probe",
    "ProbeArguments",
    "PwccaProbe",
    "QueryByExample",
    "Row",
    "SegmentationProbe",
    "SpeakerIdentification",
    "SpeechRecognition",
    "SpokenSts",
    "UnitProbe",
    "VoiceProbe",
    "WordRetrieval",
    "layer_rows",
    "make_probes",
]
