"""Figures of a comparison and of a training run; each function returns a matplotlib Figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from hf_rspin.evaluation.bootstrap import Interval

# Okabe and Ito's colours, told apart with any colour vision.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINE_STYLES = ("--", "-", ":", "-.")
MARKERS = ("o", "s", "^", "D")


def plot_layers(
    series: Mapping[str, Mapping[str, Sequence[float]]],
    y_label: str,
    title: str,
    y_range: tuple[float, float] | None = None,
) -> Figure:
    """Draw one value per layer: a line style per encoder, a colour per condition.

    Args:
        series: encoder -> condition -> values of layers 0 (encoder input), 1, ...
        y_label: what the values are, with their unit.
        title: what the reader should look at.
        y_range: limits of the axis; default what the values need.
    """
    conditions = list(dict.fromkeys(name for curves in series.values() for name in curves))
    if not conditions:
        raise ValueError("no curve came; expected encoder -> condition -> values per layer.")
    figure, axes = _figure(title, width=7.6)
    styles = LINE_STYLES if len(series) > 1 else LINE_STYLES[1:]
    for place, curves in enumerate(series.values()):
        for name, values in curves.items():
            axes.plot(
                range(len(values)), values, color=_pick(COLORS, conditions.index(name)),
                linestyle=_pick(styles, place), marker=_pick(MARKERS, place), markersize=4.5,
            )
    axes.set(xlabel="layer (0: encoder input)", ylabel=y_label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if y_range:
        axes.set_ylim(*y_range)
    handles = [
        Line2D([], [], color=_pick(COLORS, i), label=name.replace("_", " "), linewidth=3)
        for i, name in enumerate(conditions)
    ]
    handles += [
        Line2D([], [], color="#555555", linestyle=_pick(styles, i),
               marker=_pick(MARKERS, i), markersize=4.5, label=name)
        for i, name in enumerate(series)
    ]
    axes.legend(handles=handles, frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


def plot_error_rates(
    rates: Mapping[str, Mapping[str, Interval]], title: str, y_label: str = "phone error rate, %"
) -> Figure:
    """Draw bars with intervals: groups are conditions, a colour per encoder.

    Args:
        rates: encoder -> condition -> rate (1 is 100 %) with its interval.
        title: what the reader should look at.
        y_label: what the bars are.
    """
    conditions = list(dict.fromkeys(name for found in rates.values() for name in found))
    if not conditions:
        raise ValueError("no rate came; expected encoder -> condition -> interval.")
    figure, axes = _figure(title, width=7.6)
    width = 0.8 / len(rates)
    for place, (encoder, found) in enumerate(rates.items()):
        present = [i for i, name in enumerate(conditions) if name in found]
        cells = [found[conditions[i]] for i in present]
        values = 100 * np.array([cell.value for cell in cells])
        errors = 100 * np.array([[c.value - c.low, c.high - c.value] for c in cells]).T
        positions = np.array(present) + (place - (len(rates) - 1) / 2) * width
        axes.bar(
            positions, values, 0.92 * width, yerr=np.maximum(errors, 0), label=encoder,
            color=_pick(COLORS, place), error_kw={"elinewidth": 1, "capsize": 2},
        )
    axes.set_xticks(range(len(conditions)), [name.replace("_", " ") for name in conditions])
    axes.set_ylabel(y_label)
    axes.grid(False, axis="x")
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


def plot_training(
    history: Sequence[Mapping[str, float]], panels: Mapping[str, Sequence[str]], title: str
) -> Figure:
    """Draw logged values over updates, one panel per group.

    Args:
        history: `trainer.state.log_history`; each entry has "step".
        panels: label of the vertical axis -> names of the logged values in that panel. Names
            that were never logged are left out, and so are panels without any.
        title: what was trained.
    """
    logged = {name for entry in history for name in entry}
    drawn = {label: [n for n in names if n in logged] for label, names in panels.items()}
    drawn = {label: names for label, names in drawn.items() if names}
    if not drawn:
        raise ValueError(f"none of {panels} was logged; the log has {sorted(logged)}.")
    figure = Figure(figsize=(3.4 * len(drawn), 3.1), layout="constrained")
    figure.suptitle(title, fontsize=12)
    for axes, (label, names) in zip(
        figure.subplots(1, len(drawn), squeeze=False)[0], drawn.items(), strict=True
    ):
        _style(axes)
        for place, name in enumerate(names):
            points = [(entry["step"], entry[name]) for entry in history if name in entry]
            axes.plot(*zip(*points, strict=True), color=_pick(COLORS, place), label=name)
        axes.set(xlabel="update", ylabel=label)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
        axes.legend(frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(0, 1), ncols=3)
    return figure


def plot_phone_given_unit(probabilities: np.ndarray, phones: Sequence[str], title: str) -> Figure:
    """Draw the heat map P(phone | unit), (phones, units); units sorted by their likeliest phone."""
    used = probabilities[:, probabilities.sum(axis=0) > 0]
    order = np.lexsort((-used.max(axis=0), used.argmax(axis=0)))
    figure, axes = _figure(title, width=7.6, height=max(3.0, 0.17 * len(phones) + 1))
    image = axes.imshow(
        used[:, order], aspect="auto", cmap="magma_r", vmin=0, vmax=1, interpolation="nearest"
    )
    axes.set(xlabel="unit, sorted by its likeliest phone", ylabel="phone")
    axes.set_yticks(range(len(phones)), phones, fontsize=7)
    axes.grid(False)
    figure.colorbar(image, label="P(phone | unit)")
    return figure


def _figure(title: str, width: float = 6.4, height: float = 3.8) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, loc="left", fontsize=11)
    _style(axes)
    return figure, axes


def _style(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)


def _pick(choices: Sequence[str], index: int) -> str:
    return choices[index % len(choices)]
