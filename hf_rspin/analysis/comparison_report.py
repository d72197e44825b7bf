"""The results of a comparison as a report with plots, for a reader who was not there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from hf_rspin.analysis.plots import plot_error_rates, plot_layers
from hf_rspin.analysis.report import Report
from hf_rspin.analysis.results import ConditionResult, ResultsFile
from hf_rspin.analysis.tables import comparison_sections
from hf_rspin.evaluation.bootstrap import bootstrap_interval

Everything = Mapping[str, Mapping[str, ConditionResult]]

_SUMMARY = """Each encoder is frozen. A linear phone recogniser and a linear speaker recogniser are
trained on its features of clean speech, then tested on other recordings: clean, with noise added,
or played in a room. Features that ignore noise and speaker keep the phone error rate low in every
condition, a similarity (CKA) near 1, and a low speaker accuracy."""

_CKA_CAPTION = """Similarity of the features of distorted speech to those of the same clean speech,
frame by frame: 1 means that the distortion changed nothing but scale and rotation. Higher is more
robust, but only together with a low phone error rate: constant features would be robust too."""

_SPEAKER_CAPTION = """How often a linear probe on the mean of an utterance names its speaker; it was
trained on clean speech of the same speakers. Lower in the upper layers means that the speaker was
removed there. Under distortions the probe also fails because the features moved."""

_PHONE_CAPTION = """Phone error rate of the linear probe on all layers (lower is better), with 95 %
bootstrap intervals. The probe was trained on clean speech only."""


def comparison_report(
    results: ResultsFile, title: str, reference: str | None = None, summary: str = _SUMMARY
) -> Report:
    """Put all plots and tables of a comparison into a report; `report.write(path)` saves it.

    Args:
        results: finished or not.
        title: heading of the page.
        reference: the encoder that differences refer to; default the first.
        summary: first paragraph.
    """
    everything = {name: results.conditions(name) for name in results.encoders()}
    report = Report(title, _joined(summary))
    report.add_heading("What the plots show")
    add_comparison_figures(report, everything)
    for section in comparison_sections(results, reference):
        report.add_heading(section.title)
        report.add_table(section.headers, section.rows)
    return report


def add_comparison_figures(report: Report, everything: Everything) -> None:
    """Add the figures that the results allow: error rates, CKA and speakers per layer.

    Args:
        report: where to.
        everything: encoder -> condition -> result. Single-layer front ends have no layer curve.
    """
    rates = {
        name: {c: bootstrap_interval(r.counts) for c, r in found.items() if r.counts is not None}
        for name, found in everything.items()
    }
    rates = {name: cells for name, cells in rates.items() if cells}
    if rates:
        report.add_figure(
            plot_error_rates(rates, "Phones recognised from frozen features"),
            _joined(_PHONE_CAPTION),
        )
    cka = _curves(everything, lambda result: result.cka_debiased)
    if cka:
        figure = plot_layers(cka, "debiased linear CKA with clean", "Clean against distorted")
        report.add_figure(figure, _joined(_CKA_CAPTION))
    speakers = _curves(everything, lambda result: _percent(result.speaker_accuracy))
    if speakers:
        figure = plot_layers(
            speakers, "speaker accuracy, %", "Who speaks, read from each layer", (0, 102)
        )
        report.add_figure(figure, _joined(_SPEAKER_CAPTION))


def _curves(everything: Everything, pick) -> dict[str, dict[str, Sequence[float]]]:
    curves = {
        name: {
            condition: values
            for condition, result in found.items()
            if (values := pick(result)) is not None and len(values) > 1
        }
        for name, found in everything.items()
    }
    return {name: found for name, found in curves.items() if found}


def _percent(values: Sequence[float] | None) -> list[float] | None:
    return None if values is None else (100 * np.array(values)).tolist()


def _joined(text: str) -> str:
    return " ".join(text.split())
