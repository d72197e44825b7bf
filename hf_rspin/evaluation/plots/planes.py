"""Two values of every layer against each other: what a layer tells of phones and of speakers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hf_rspin.evaluation.plots.style import (
    COLORS,
    MARKERS,
    TEXT,
    legend,
    new_figure,
    pick,
    plain,
)


def plot_plane(
    points: Mapping[str, Sequence[tuple[float, float]]],
    x_label: str,
    y_label: str,
    title: str = "",
) -> Figure:
    """Draw a path through the layers of each encoder; the first and last are numbered.

    Args:
        points: encoder -> (x, y) of layers 0 (encoder input), 1, ...
        x_label: what x is, with its unit.
        y_label: what y is.
        title: what the reader should look at.

    Raises:
        ValueError: there is no point.
    """
    if not any(points.values()):
        raise ValueError("got no point; expected encoder -> (x, y) per layer.")
    figure, axes = new_figure(title, 3.4)
    for place, path in enumerate(points.values()):
        color = pick(COLORS, place)
        look = {"marker": pick(MARKERS, place), "markersize": 4, "linewidth": 1, "color": color}
        axes.plot(*zip(*path, strict=True), **look)
        for layer in sorted({0, len(path) - 1}):
            axes.annotate(
                str(layer), path[layer], xytext=(4, 4), textcoords="offset points", color=color,
                fontsize=TEXT,
            )  # fmt: skip
    axes.set(xlabel=x_label, ylabel=y_label)
    axes.margins(0.08)
    handles = [
        Line2D([], [], marker=pick(MARKERS, i), markersize=4, color=pick(COLORS, i),
               label=plain(name))
        for i, name in enumerate(points)
    ]  # fmt: skip
    legend(figure, handles)
    return figure
