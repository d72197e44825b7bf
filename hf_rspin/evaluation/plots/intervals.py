"""Values with intervals: a row per condition, a mark per encoder."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hf_rspin.evaluation.measures.bootstrap import Interval
from hf_rspin.evaluation.plots.style import COLORS, MARKERS, legend, new_figure, pick, plain

ROW, MARGIN = 0.17, 1.2  # inches per mark, and for the rest


def plot_intervals(
    values: Mapping[str, Mapping[str, Interval]], x_label: str, title: str = ""
) -> Figure:
    """Draw values with their intervals: groups are conditions, a colour and mark per encoder.

    Args:
        values: encoder -> condition -> value with its interval, in the unit of `x_label`.
        x_label: what the values are.
        title: what the reader should look at.

    Raises:
        ValueError: there is no value.
    """
    conditions = list(dict.fromkeys(name for found in values.values() for name in found))
    if not conditions:
        raise ValueError("got no value; expected encoder -> condition -> interval.")
    height = MARGIN + ROW * len(conditions) * (len(values) + 1) + ROW * len(values)
    figure, axes = new_figure(title, height)
    step = 1 / (len(values) + 1)
    for place, found in enumerate(values.values()):
        present = [i for i, name in enumerate(conditions) if name in found]
        cells = [found[conditions[i]] for i in present]
        errors = np.array([[c.value - c.low, c.high - c.value] for c in cells]).reshape(-1, 2).T
        rows = np.array(present) + (place - (len(values) - 1) / 2) * step
        axes.errorbar(
            [cell.value for cell in cells], rows, xerr=np.maximum(np.nan_to_num(errors), 0),
            fmt=pick(MARKERS, place), color=pick(COLORS, place), markersize=4.5, elinewidth=1.2,
        )  # fmt: skip
    axes.set_yticks(range(len(conditions)), [plain(name) for name in conditions])
    axes.set_ylim(len(conditions) - 0.5, -0.5)  # the first on top
    axes.set_xlabel(x_label)
    axes.grid(False, axis="y")
    for border in np.arange(len(conditions) - 1) + 0.5:
        axes.axhline(border, color="#eeeeee", linewidth=0.8)
    handles = [
        Line2D([], [], linestyle="", marker=pick(MARKERS, i), color=pick(COLORS, i),
               label=plain(name))
        for i, name in enumerate(values)
    ]  # fmt: skip
    legend(figure, handles)
    return figure
