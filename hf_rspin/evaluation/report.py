"""A report that is one HTML file: text, tables and figures, nothing loaded from elsewhere."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from hf_rspin.evaluation.conditions import CLEAN
from hf_rspin.evaluation.measures.bootstrap import Interval
from hf_rspin.evaluation.probes import Metric
from hf_rspin.evaluation.table import METRICS, sections, with_labels
from hf_rspin.utils import write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TEMPLATE = "report.html.jinja"
BROAD = 7.0  # inches; broader figures scroll on a small screen


class Report:
    """Collects sections, then writes them; the template escapes every text.

    Args:
        title: the heading of the page.
        summary: a paragraph that says what was done and what came out.
    """

    def __init__(self, title: str, summary: str = "") -> None:
        self.title = title
        self._parts: list[dict] = []
        if summary:
            self.add_text(summary)

    def add_heading(self, text: str) -> None:
        """Start a section."""
        self._parts.append({"kind": "heading", "text": text})

    def add_text(self, text: str) -> None:
        """Add a paragraph; blank lines separate several."""
        for paragraph in text.strip().split("\n\n"):
            self._parts.append({"kind": "text", "text": paragraph})

    def add_table(
        self, headers: Sequence[str], rows: Sequence[Sequence[str]], caption: str = ""
    ) -> None:
        """Add a table; the first column is text, the others are right-aligned.

        Raises:
            ValueError: a row has another number of cells than the headers.
        """
        for row in rows:
            if len(row) != len(headers):
                raise ValueError(f"the row {row} has {len(row)} cells; expected {len(headers)}.")
        self._parts.append({"kind": "table", "headers": headers, "rows": rows, "caption": caption})

    def add_figure(self, figure: Figure, caption: str) -> None:
        """Add a figure as inlined SVG.

        Args:
            figure: what to draw; see `plots`.
            caption: what is drawn, how to read it; also for readers who do not see it.
        """
        svg = base64.b64encode(_svg(figure)).decode()
        self._parts.append({
            "kind": "figure", "svg": svg, "caption": " ".join(caption.split()),
            "broad": figure.get_figwidth() > BROAD,
        })  # fmt: skip

    def to_html(self) -> str:
        """Return the page."""
        from jinja2 import Environment, PackageLoader

        environment = Environment(
            loader=PackageLoader("hf_rspin.evaluation", ""), autoescape=True,
            trim_blocks=True, lstrip_blocks=True,
        )  # fmt: skip
        return environment.get_template(TEMPLATE).render(title=self.title, parts=self._parts)

    def write(self, path: str | Path) -> Path:
        """Write the page, replacing an older one as a whole."""
        return write_text(path, self.to_html())


def evaluation_report(
    table: pd.DataFrame,
    title: str,
    summary: str,
    left_out: Sequence[str] = (),
    history: Sequence[Mapping[str, float]] = (),
    metrics: Sequence[Metric] = METRICS,
) -> Report:
    """Put everything measured into a report: figures, training curves, all tables.

    Args:
        table: of `to_table`.
        title: heading of the page.
        summary: first paragraph.
        left_out: sentences on what was not measured.
        history: logged training steps; none: no training curves.
        metrics: what to show.
    """
    report = Report(title, " ".join(summary.split()))
    for metric in metrics:
        figure = draw(table, metric)
        if figure is not None:
            report.add_heading(metric.title)
            report.add_figure(figure, metric.caption)
    if history:
        from hf_rspin.evaluation.plots import plot_training

        report.add_heading("Training")
        report.add_figure(plot_training(history, TRAINING), _TRAINING_CAPTION)
    for sentence in left_out:
        report.add_text(sentence)
    for section in sections(table, metrics):
        report.add_heading(section.title)
        report.add_table(section.headers, section.rows)
    return report


TRAINING = {
    "loss": ["spin_loss", "auxiliary_loss"],
    "accuracy": ["accuracy", "auxiliary_accuracy"],
    "code perplexity": ["code_perplexity"],
}
_TRAINING_CAPTION = "Losses, accuracies and perplexity of the codes during training."


def draw(table: pd.DataFrame, metric: Metric) -> Figure | None:
    """Draw a metric: curves over layers, or bars over conditions; None where there is nothing.

    Front ends of a single layer have no curve.
    """
    from hf_rspin.evaluation.plots import plot_bars, plot_layers

    part = with_labels(table[table["metric"] == metric.name])
    if metric.conditions == "clean":
        part = part[part["condition"] == CLEAN]
    scale = 100 if metric.percent else 1
    series: dict[str, dict] = {}
    for (encoder, label), lines in part.groupby(["encoder", "label"], sort=False):
        if len(lines) > 1:
            series.setdefault(encoder, {})[label] = (scale * lines["value"]).tolist()
    if not metric.plotted or part.empty:
        return None
    if series:
        return plot_layers(series, metric.label)
    if part["layer"].notna().any():
        return None
    bars: dict[str, dict[str, Interval]] = {}
    for _, line in part.iterrows():
        cell = Interval(*(scale * line[name] for name in ("value", "low", "high")))
        bars.setdefault(line["encoder"], {})[line["label"]] = cell
    return plot_bars(bars, metric.label)


def _svg(figure: Figure) -> bytes:
    """Render with text as text, and without a date, so that equal figures give equal bytes."""
    import matplotlib

    buffer = io.BytesIO()
    settings = {"svg.fonttype": "none", "svg.hashsalt": "report", "font.family": "sans-serif"}
    with matplotlib.rc_context(settings):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
