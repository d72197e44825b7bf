"""Curves: one value per layer, an error rate against the SNR, what training logged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from hf_rspin.evaluation.measures.bootstrap import Interval
from hf_rspin.evaluation.plots.style import (
    COLORS,
    LINE_STYLES,
    MARKERS,
    TEXT,
    legend,
    new_figure,
    new_panels,
    pick,
    plain,
)

MOST_CURVES = 8  # in one panel


def plot_layers(
    series: Mapping[str, Mapping[str, Sequence[float]]], y_label: str, title: str = ""
) -> Figure:
    """Draw one value per layer: a line style per encoder, a colour per condition.

    What has a single layer is a line without marks across all layers, to compare with. Of a single
    condition, the encoders have the colours. More than `MOST_CURVES` curves, or more
    conditions than colours, are divided into a panel per condition, with a colour per encoder.

    Args:
        series: encoder -> condition -> values of layers 0 (encoder input), 1, ...
        y_label: what the values are, with their unit.
        title: what the reader should look at.

    Raises:
        ValueError: there is no curve.
    """
    conditions = list(dict.fromkeys(name for curves in series.values() for name in curves))
    if not conditions:
        raise ValueError("got no curve; expected encoder -> condition -> values per layer.")
    crowded = sum(map(len, series.values())) > MOST_CURVES or len(conditions) > len(COLORS)
    if crowded and len(conditions) > 1:
        return _panel_per_condition(series, conditions, y_label, title)
    figure, axes = new_figure(title)
    styles = LINE_STYLES if len(series) > 1 else LINE_STYLES[1:]
    several = len(conditions) > 1
    for place, curves in enumerate(series.values()):
        look = _line_look(styles, place)
        for name, values in curves.items():
            color = pick(COLORS, conditions.index(name) if several else place)
            _curve(axes, values, color=color, **look)
    axes.set(xlabel="layer (0: encoder input)", ylabel=y_label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    handles = [
        Line2D([], [], color=pick(COLORS, i), label=plain(name), linewidth=3)
        for i, name in enumerate(conditions if several else ())
    ]
    handles += [
        Line2D([], [], color="#555555" if several else pick(COLORS, i), label=plain(name),
               **_line_look(styles, i))
        for i, name in enumerate(series)
    ]  # fmt: skip
    legend(figure, handles)
    return figure


def _curve(axes: Axes, values: Sequence[float], **look: Any) -> None:
    """Draw values over layers; what has a single layer is a line across all of them."""
    if len(values) == 1:
        # without marks: a level to compare with, not a course over layers
        axes.axhline(values[0], **{"linestyle": "--"} | look | {"marker": "", "linewidth": 1.4})
    else:
        axes.plot(range(len(values)), values, **look)


def _panel_per_condition(
    series: Mapping[str, Mapping[str, Sequence[float]]],
    conditions: Sequence[str],
    y_label: str,
    title: str,
) -> Figure:
    # on top, once: on a panel's axis it may be longer than the panel is high
    figure, panels = new_panels(f"{title} {y_label}", len(conditions), 1.7, share_y=True)
    for axes, condition in zip(panels, conditions, strict=True):
        for place, curves in enumerate(series.values()):
            values = curves.get(condition, ())
            look = {"marker": pick(MARKERS, place), "markersize": 3.5, "linewidth": 1.2}
            _curve(axes, values, color=pick(COLORS, place), **look)
        axes.set_title(plain(condition), loc="left", fontsize=TEXT)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    panels[-1].set_xlabel("layer (0: encoder input)")
    legend(figure, _colored(list(series)))
    return figure


def _colored(names: Sequence[str]) -> list[Line2D]:
    """Return the legend of encoders that have the colours."""
    return [
        Line2D([], [], color=pick(COLORS, i), marker=pick(MARKERS, i), markersize=4,
               label=plain(name))
        for i, name in enumerate(names)
    ]  # fmt: skip


def plot_snr(
    panels: Mapping[str, Mapping[str, Mapping[float, Interval]]], y_label: str, title: str = ""
) -> Figure:
    """Draw a value against the signal-to-noise ratio (R-Spin, Figure 2), with 95 % intervals.

    Args:
        panels: condition -> encoder -> SNR in dB -> value and interval; a panel per condition.
        y_label: what the values are, with their unit.
        title: what the reader should look at.

    Raises:
        ValueError: there is no panel.
    """
    if not panels:
        raise ValueError("got no panel; expected condition -> encoder -> SNR -> interval.")
    figure, drawn = new_panels(f"{title} {y_label}", len(panels), share_y=True)
    names = list(dict.fromkeys(name for curves in panels.values() for name in curves))
    for axes, (condition, curves) in zip(drawn, panels.items(), strict=True):
        for name, found in curves.items():
            place, ratios = names.index(name), sorted(found)
            look = {"color": pick(COLORS, place), "marker": pick(MARKERS, place), "markersize": 4}
            axes.plot(ratios, [found[ratio].value for ratio in ratios], **look)
            low, high = ([getattr(found[r], end) for r in ratios] for end in ("low", "high"))
            axes.fill_between(ratios, low, high, color=look["color"], alpha=0.18, linewidth=0)
        axes.set_title(plain(condition), loc="left", fontsize=TEXT)
    drawn[-1].set_xlabel("SNR, dB")
    legend(figure, _colored(names))
    return figure


def plot_training(
    history: Sequence[Mapping[str, float]], panels: Mapping[str, Sequence[str]], title: str = ""
) -> Figure:
    """Draw logged values over updates, one panel per group.

    Args:
        history: `trainer.state.log_history`; each entry has "step".
        panels: label of the vertical axis -> names of the logged values in that panel. Names
            that were never logged are left out, and so are panels without any.
        title: what was trained.

    Raises:
        ValueError: none of the values was logged.
    """
    logged = {name for entry in history for name in entry}
    drawn = {label: [n for n in names if n in logged] for label, names in panels.items()}
    drawn = {label: names for label, names in drawn.items() if names}
    if not drawn:
        raise ValueError(f"none of {panels} was logged; the log has {sorted(logged)}.")
    figure, panes = new_panels(title, len(drawn))
    for axes, (label, names) in zip(panes, drawn.items(), strict=True):
        for place, name in enumerate(names):
            points = [(entry["step"], entry[name]) for entry in history if name in entry]
            axes.plot(*zip(*points, strict=True), color=pick(COLORS, place), label=name)
        axes.set_ylabel(label)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
        axes.legend(frameon=False, fontsize=TEXT, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    panes[-1].set_xlabel("update")
    return figure


def _line_look(styles: Sequence[str], place: int) -> dict:
    return {"linestyle": pick(styles, place), "marker": pick(MARKERS, place), "markersize": 4}
