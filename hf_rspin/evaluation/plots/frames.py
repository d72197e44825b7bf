"""Frames on a plane (t-SNE), coloured by speaker or by distortion, labelled by phone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
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


def plot_frames(
    points: np.ndarray, colors: Sequence[str], labels: Sequence[str] | None, title: str = ""
) -> Figure:
    """Draw frames on a plane: a colour and mark per speaker or distortion, a letter per phone.

    Args:
        points: (frames, 2).
        colors: what each frame is coloured by, such as its speaker.
        labels: the phone of each frame, written at the median of its frames; None: no letters.
        title: what the reader should look at.

    Raises:
        ValueError: not one colour and label per frame.
    """
    if points.ndim != 2 or len(colors) != len(points) or (labels and len(labels) != len(points)):
        raise ValueError(
            f"got points {points.shape}, {len(colors)} colours and "
            f"{len(labels or points)} labels; expected one of each per frame."
        )
    figure, axes = new_figure(title, 3.8)
    names, groups = np.asarray(colors), list(dict.fromkeys(colors))
    for place, name in enumerate(groups):
        axes.plot(
            *points[names == name].T, linestyle="", marker=pick(MARKERS, place), markersize=2,
            color=pick(COLORS, place), alpha=0.6, rasterized=len(points) > 5000,
        )  # fmt: skip
    for phone in sorted(set(labels or ())):
        x, y = np.median(points[np.asarray(labels) == phone], axis=0)
        axes.text(x, y, plain(phone), fontsize=TEXT, ha="center", va="center", weight="bold",
                  bbox={"facecolor": "white", "alpha": 0.6, "edgecolor": "none", "pad": 0.4})
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    handles = [
        Line2D([], [], linestyle="", marker=pick(MARKERS, i), color=pick(COLORS, i),
               label=plain(name))
        for i, name in enumerate(groups)
    ]  # fmt: skip
    legend(figure, handles)
    return figure
