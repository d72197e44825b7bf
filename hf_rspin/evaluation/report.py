"""A report that is one HTML file: text, tables and figures, nothing loaded from elsewhere."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from hf_rspin.evaluation.conditions import CLEAN
from hf_rspin.evaluation.long_table import METRICS, over_seeds, with_labels
from hf_rspin.evaluation.measures.bootstrap import Interval
from hf_rspin.evaluation.probes import PROBES, Metric
from hf_rspin.evaluation.summary import FOUND, WARNINGS, context, found_out
from hf_rspin.evaluation.table import Section, sections
from hf_rspin.utils import write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hf_rspin.evaluation.cells import Cell

TEMPLATE = "report.html.jinja"
MOST_COLUMNS, MOST_LETTERS = 3, 34  # of a row that a phone shows whole
CLEAN_SPEECH = re.compile(r"\b(the same )?clean speech\b")


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

    def add_list(self, texts: Sequence[str]) -> None:
        """Add sentences as a list; nothing of none."""
        if texts:
            self._parts.append({"kind": "list", "texts": list(texts)})

    def add_code(self, text: str) -> None:
        """Add lines of code, as they are."""
        self._parts.append({"kind": "code", "text": text.rstrip("\n")})

    def add_section(self, section: Section, caption: str = "") -> None:
        """Add a table under its title; `caption` follows its own."""
        self.add_heading(section.title)
        self.add_table(section.headers, section.rows, f"{section.caption} {caption}".strip())

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
        longest = max((sum(map(len, map(str, row))) for row in [headers, *rows]), default=0)
        self._parts.append({
            "kind": "table", "headers": headers, "rows": rows, "caption": caption,
            "wide": len(headers) > MOST_COLUMNS or longest > MOST_LETTERS,
        })  # fmt: skip

    def add_figure(self, figure: Figure, caption: str) -> None:
        """Add a figure as inlined SVG.

        Args:
            figure: what to draw; see `plots`.
            caption: what is drawn, how to read it; also for readers who do not see it.
        """
        svg = base64.b64encode(_svg(figure)).decode()
        self._parts.append({
            "kind": "figure", "svg": svg, "caption": " ".join(caption.split()),
        })  # fmt: skip

    def call_clean(self, name: str) -> None:
        """Call clean speech otherwise in all texts and tables so far, such as noisy recordings."""

        def told(value: Any) -> Any:
            if isinstance(value, str):
                joined = " ".join(value.split())
                return CLEAN_SPEECH.sub(name, joined) if CLEAN_SPEECH.search(joined) else value
            if isinstance(value, list | tuple):
                return [name if cell == CLEAN else told(cell) for cell in value]
            return value

        keys = ("text", "texts", "headers", "rows", "caption")
        for part in self._parts:
            if part["kind"] != "code":
                part |= {key: told(part[key]) for key in keys if key in part}

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
    about: Mapping[str, Any] | None = None,
    cells: Sequence[Cell] = (),
    first: Section | None = None,
    reference: str | None = None,
) -> Report:
    """Put everything measured into a report: what changed, figures, training curves, all tables.

    Args:
        table: of `to_table`.
        title: heading of the page.
        summary: first paragraph.
        left_out: sentences on what was not measured, or is to be known of it.
        history: logged training steps; none: no training curves.
        metrics: what to show.
        about: of the cells, for the captions; see `context`.
        cells: the finished cells, whose details some probes draw.
        first: table on top.
        reference: the encoder that sentences compare with; default the first.
    """
    report = Report(title, " ".join(summary.split()))
    where = f" {context(about, table)}" if about else ""
    if where:
        report.add_text(where)
    lists = {FOUND: found_out(table, metrics, reference), WARNINGS: left_out}
    for heading, sentences in lists.items():
        if sentences:
            report.add_heading(heading)
            report.add_list(sentences)
    if first is not None:
        report.add_section(first, where.strip())
    for metric in metrics:
        part = _shown(table, metric)
        for figure in draw(part, metric):
            report.add_heading(metric.title)
            said = f" {context(about, part)}" if about else ""
            report.add_figure(figure, metric.caption + said)
    plane = draw_plane(table)
    if plane is not None:
        report.add_heading("Phones and speakers in every layer")
        report.add_figure(plane, _PLANE_CAPTION + where)
    for probe in PROBES.values():
        for drawing in probe.draw([cell for cell in cells if cell.probe == probe.name]):
            report.add_heading(drawing.title)
            report.add_figure(drawing.figure, drawing.caption + where)
    if history:
        from hf_rspin.evaluation.plots import plot_training

        report.add_heading("Training")
        report.add_figure(plot_training(history, TRAINING), _TRAINING_CAPTION)
    for section in sections(table, metrics):
        report.add_section(section)
    return report


TRAINING = {
    "loss": ["spin_loss", "auxiliary_loss"],
    "accuracy": ["accuracy", "auxiliary_accuracy"],
    "code perplexity": ["code_perplexity"],
}
_TRAINING_CAPTION = "Losses, accuracies and perplexity of the codes during training."
_PLANE_CAPTION = """Every layer by what it tells of phones and of speakers (ABX errors; the numbers
name the first and the last layer). Left: phones are told apart across speakers; up: speakers are
not."""
PHONE_AXIS, SPEAKER_AXIS = "abx_across_speakers", "abx_speaker"


def _shown(table: pd.DataFrame, metric: Metric) -> pd.DataFrame:
    """Return the rows that the figure of a metric shows."""
    part = table[table["metric"] == metric.name]
    return part[part["condition"] == CLEAN] if metric.conditions == "clean" else part


def draw(table: pd.DataFrame, metric: Metric) -> list[Figure]:
    """Draw a metric: curves over layers, or intervals per condition, and curves over the SNR.

    Front ends of a single layer are lines at their value; of such alone nothing is drawn.
    """
    from hf_rspin.evaluation.plots import plot_intervals, plot_layers, plot_snr

    part = with_labels(over_seeds(_shown(table, metric)))
    if not metric.plotted or part.empty:
        return []
    scale = 100 if metric.percent else 1
    if part["layer"].notna().any():
        series: dict[str, dict] = {}
        for (encoder, label), lines in part.groupby(["encoder", "label"], sort=False):
            if len(lines) > 1 or not metric.share:
                series.setdefault(encoder, {})[label] = (scale * lines["value"]).tolist()
        has_curve = part["layer"].nunique() > 1
        return [plot_layers(series, metric.label)] if has_curve else []
    values: dict[str, dict[str, Interval]] = {}
    panels: dict[str, dict[str, dict[float, Interval]]] = {}
    several = part.groupby("condition")["snr_db"].nunique()
    for _, line in part.iterrows():
        cell = Interval(*(scale * line[name] for name in ("value", "low", "high")))
        values.setdefault(line["encoder"], {})[line["label"]] = cell
        if several[line["condition"]] > 1:
            curves = panels.setdefault(line["condition"].replace("_", " "), {})
            curves.setdefault(line["encoder"], {})[line["snr_db"]] = cell
    figures = [plot_intervals(values, metric.label)]
    return [*figures, plot_snr(panels, metric.label)] if panels else figures


def draw_plane(table: pd.DataFrame) -> Figure | None:
    """Draw ABX errors of phones against those of speakers per layer, of clean speech."""
    from hf_rspin.evaluation.plots import plot_plane

    clean = over_seeds(table[table["condition"] == CLEAN])
    axes = [clean[clean["metric"] == name] for name in (PHONE_AXIS, SPEAKER_AXIS)]
    both = axes[0].merge(axes[1], on=["encoder", "layer"], suffixes=("_x", "_y"))
    if both.empty:
        return None
    points = {
        encoder: list(zip(100 * lines["value_x"], 100 * lines["value_y"], strict=True))
        for encoder, lines in both.groupby("encoder", sort=False)
    }
    return plot_plane(points, "phone ABX error across speakers, %", "speaker ABX error, %")


def _svg(figure: Figure) -> bytes:
    """Render with text as text, and without a date, so that equal figures give equal bytes."""
    import matplotlib

    buffer = io.BytesIO()
    settings = {"svg.fonttype": "none", "svg.hashsalt": "report", "font.family": "sans-serif"}
    with matplotlib.rc_context(settings):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
