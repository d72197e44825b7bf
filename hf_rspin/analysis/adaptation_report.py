"""Before and after adaptation as a table and as a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hf_rspin.analysis.adaptation import LayerFigures
from hf_rspin.analysis.plots import plot_layers, plot_training
from hf_rspin.analysis.report import Report
from hf_rspin.analysis.tables import markdown_table

_SUMMARY = """R-Spin adapted a speech encoder without labels: two noisy views of each utterance, one
in another voice, must get the same code, and both must tell the acoustic piece of each frame. All
figures are of utterances that were not trained on."""

_CKA = """Similarity (debiased linear CKA) between the features of distorted speech and of the same
clean speech, frame by frame; 1: the distortion changed nothing but scale and rotation. Higher is
more robust. "Unseen" distortions were not part of training."""

_SPEAKER = """How often a linear probe on the mean of an utterance names its speaker. Lower: less of
the speaker is left in that layer."""

_PHONES = """Phone-normalised mutual information of k-means units of each layer: the share of what
there is to know about the phone that the unit tells. It should not fall."""

_TRAINING = "Losses, accuracies and perplexity of the codes during training."

_LEFT_OUT = {
    "speaker_accuracy": "Speaker identification is left out: the recordings have no speaker names.",
    "pnmi": "Phone information is left out: the recordings have no phone alignment.",
}


def adaptation_rows(
    figures: Mapping[str, LayerFigures], mfcc_pnmi: float | None = None
) -> tuple[list[str], list[list[str]]]:
    """Return the header and rows of the table: one row per figure and state, a column per layer."""
    rows = []
    conditions = list(dict.fromkeys(name for value in figures.values() for name in value.cka))
    for condition in conditions:
        for state, value in figures.items():
            rows.append([f"CKA, {condition}", state, *_cells(value.cka[condition])])
    for state, value in figures.items():
        if value.speaker_accuracy is not None:
            percent = [f"{100 * v:.0f} %" for v in value.speaker_accuracy]
            rows.append(["speaker accuracy", state, *percent])
    for state, value in figures.items():
        if value.pnmi is not None:
            rows.append(["phone information (PNMI)", state, *_cells(value.pnmi)])
    layers = max(len(row) for row in rows) - 2
    if mfcc_pnmi is not None:
        rows.append(["phone information (PNMI)", "MFCC", f"{mfcc_pnmi:.3f}", *[""] * (layers - 1)])
    return ["figure", "", *(f"layer {i}" for i in range(layers))], rows


def adaptation_table(
    figures: Mapping[str, LayerFigures], mfcc_pnmi: float | None = None
) -> str:
    """Return the table before / after as markdown, and a line for each figure left out."""
    lines = [markdown_table(*adaptation_rows(figures, mfcc_pnmi))]
    return "\n\n".join(lines + _left_out(figures))


def adaptation_report(
    figures: Mapping[str, LayerFigures],
    history: Sequence[Mapping[str, float]],
    mfcc_pnmi: float | None = None,
) -> Report:
    """Return the report: plots per layer, training curves, the table.

    Args:
        figures: state ("before", "after") -> figures.
        history: logged training steps.
        mfcc_pnmi: PNMI of MFCC units, for comparison.
    """
    report = Report("What R-Spin changed", _joined(_SUMMARY))
    report.add_heading("Noise and rooms")
    cka = {state: value.cka for state, value in figures.items()}
    report.add_figure(
        plot_layers(cka, "CKA with clean speech", "Distorted against clean"), _joined(_CKA)
    )
    curves = {
        "speaker_accuracy": ("Speakers", "speaker accuracy", "Who speaks", _SPEAKER),
        "pnmi": ("Phones", "PNMI", "What is said", _PHONES),
    }
    for name, (heading, label, title, caption) in curves.items():
        found = {state: getattr(value, name) for state, value in figures.items()}
        if all(values is not None for values in found.values()):
            report.add_heading(heading)
            series = {state: {"clean speech": values} for state, values in found.items()}
            report.add_figure(plot_layers(series, label, title), _joined(caption))
    report.add_heading("Training")
    panels = {
        "loss": ["spin_loss", "auxiliary_loss"],
        "accuracy": ["accuracy", "auxiliary_accuracy"],
        "code perplexity": ["code_perplexity"],
    }
    report.add_figure(plot_training(history, panels, "R-Spin"), _TRAINING)
    report.add_heading("All figures")
    report.add_table(*adaptation_rows(figures, mfcc_pnmi))
    for line in _left_out(figures):
        report.add_text(line)
    return report


def _left_out(figures: Mapping[str, LayerFigures]) -> list[str]:
    return [
        text
        for name, text in _LEFT_OUT.items()
        if all(getattr(value, name) is None for value in figures.values())
    ]


def _cells(values: Sequence[float]) -> list[str]:
    return [f"{value:.3f}" for value in values]


def _joined(text: str) -> str:
    return " ".join(text.split())
