"""A report that is one HTML file: text, tables and figures, nothing loaded from elsewhere."""

from __future__ import annotations

import base64
import html
import io
import os
from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

_STYLE = """
body { font: 16px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; color: #1b1f24;
  background: #fff; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.7rem; line-height: 1.2; } h2 { font-size: 1.25rem; margin-top: 2.2rem; }
p { max-width: 46rem; } .wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid #d8dee4; text-align: right;
  white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } th { border-bottom: 2px solid #57606a; }
caption { caption-side: bottom; text-align: left; padding-top: .4rem; color: #57606a; }
figure { margin: 1rem 0; } figure img { max-width: 100%; height: auto; }
figcaption { color: #57606a; font-size: .9rem; max-width: 46rem; }
"""


class Report:
    """Collects sections, then writes them; every text is escaped.

    Args:
        title: the heading of the page.
        summary: a paragraph that says what was done and what came out.
    """

    def __init__(self, title: str, summary: str = "") -> None:
        self.title = title
        self._parts: list[str] = []
        if summary:
            self.add_text(summary)

    def add_heading(self, text: str) -> None:
        """Start a section."""
        self._parts.append(f"<h2>{html.escape(text)}</h2>")

    def add_text(self, text: str) -> None:
        """Add a paragraph; blank lines separate several."""
        for paragraph in text.strip().split("\n\n"):
            self._parts.append(f"<p>{html.escape(paragraph)}</p>")

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
        head = "".join(f"<th>{html.escape(str(cell))}</th>" for cell in headers)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>"
            for row in rows
        )
        note = f"<caption>{html.escape(caption)}</caption>" if caption else ""
        self._parts.append(
            f'<div class="wide"><table>{note}<thead><tr>{head}</tr></thead>'
            f"<tbody>{body}</tbody></table></div>"
        )

    def add_figure(self, figure: Figure, caption: str, alternative: str | None = None) -> None:
        """Add a figure as inlined SVG.

        Args:
            figure: what to draw; see `plots`.
            caption: what is drawn, how to read it.
            alternative: text for readers who do not see it; default the caption.
        """
        image = base64.b64encode(_svg(figure)).decode()
        text = html.escape(alternative or caption, quote=True)
        self._parts.append(
            f'<figure><img alt="{text}" src="data:image/svg+xml;base64,{image}">'
            f"<figcaption>{html.escape(caption)}</figcaption></figure>"
        )

    def to_html(self) -> str:
        """Return the page."""
        title = html.escape(self.title)
        return (
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{title}</title><style>{_STYLE}</style></head>\n"
            f"<body><h1>{title}</h1>\n" + "\n".join(self._parts) + "\n</body></html>\n"
        )

    def write(self, path: str | Path) -> Path:
        """Write the page, replacing an older one as a whole."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(path.name + ".part")
        temporary.write_text(self.to_html(), encoding="utf-8")
        os.replace(temporary, path)
        return path


def _svg(figure: Figure) -> bytes:
    """Render with text as text, and without a date, so that equal figures give equal bytes."""
    buffer = io.BytesIO()
    settings = {"svg.fonttype": "none", "svg.hashsalt": "report", "font.family": "sans-serif"}
    with matplotlib.rc_context(settings):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
