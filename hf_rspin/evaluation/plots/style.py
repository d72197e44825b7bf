"""How every figure looks: one width, letters that a telephone shows, colours for every eye."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart with any colour vision.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINE_STYLES = ("--", "-", ":", "-.")
MARKERS = ("o", "s", "^", "D")
LONGEST_NAME = 40
# A page shows figures at the width of the screen: 358 of a telephone's 390 pixels, where letters
# below 11 pixels cannot be read. 3.8 inches are 273.6 points, so 8.6 points are 11.3 pixels.
WIDTH = 3.8  # inches
TEXT, TITLE = 8.6, 9.6  # points
LEGEND_ROW = 0.165  # inches
SHORT_NAME = 17  # characters: two of them fit beside each other in a legend


def new_figure(title: str, height: float = 2.5) -> tuple[Figure, Axes]:
    """Return a figure of the one width, in inches, with its axes."""
    figure, (axes,) = new_panels(title, 1, height)
    return figure, axes


def new_panels(
    title: str, count: int, height: float = 2.2, share_y: bool = False
) -> tuple[Figure, list[Axes]]:
    """Return a figure of panels below each other, each `height` inches high.

    Args:
        title: what the reader should look at.
        count: panels.
        height: of each, in inches.
        share_y: all have one vertical axis: for panels of one quantity.
    """
    figure = Figure(figsize=(WIDTH, count * height + 0.3), layout="constrained")
    panels = list(figure.subplots(count, 1, squeeze=False, sharey=share_y)[:, 0])
    if title:
        figure.suptitle(_lines(title.replace("$", r"\$")), x=0.01, ha="left", fontsize=TITLE)
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(True, color="#dddddd", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.tick_params(labelsize=TEXT)
        axes.xaxis.label.set_fontsize(TEXT)
        axes.yaxis.label.set_fontsize(TEXT)
    return figure, panels


def legend(figure: Figure, handles: Sequence[Artist]) -> None:
    """Put the legend below, where it takes neither width nor height from the curves."""
    columns = 2 if all(len(str(one.get_label())) <= SHORT_NAME for one in handles) else 1
    figure.legend(
        handles=handles, frameon=False, loc="outside lower left", ncols=columns, fontsize=TEXT,
        handlelength=2.4, columnspacing=1.0,
    )  # fmt: skip
    rows = -(-len(handles) // columns)
    figure.set_figheight(figure.get_figheight() + LEGEND_ROW * rows)


def pick(choices: Sequence[str], index: int) -> str:
    """Return a colour or style; after the last comes the first again."""
    return choices[index % len(choices)]


def plain(text: str) -> str:
    """Return a name as matplotlib draws it: on one line, its dollars no formula."""
    text = "".join(c for c in " ".join(text.split()) if c.isprintable()).replace("$", r"\$")
    return text if len(text) <= LONGEST_NAME else text[: LONGEST_NAME - 1] + "…"


def _lines(text: str, width: int = 46) -> str:
    """Break a title where the figure ends."""
    lines = [""]
    for word in text.split():
        fits = len(lines[-1]) + len(word) < width
        lines[-1:] = [f"{lines[-1]} {word}".strip()] if fits else [lines[-1], word]
    return "\n".join(line for line in lines if line)
