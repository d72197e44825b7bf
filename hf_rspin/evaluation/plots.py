"""Figures of an evaluation and of a training run; each function returns a matplotlib Figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from hf_rspin.evaluation.measures.bootstrap import Interval

# Okabe and Ito's colours, told apart with any colour vision.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINE_STYLES = ("--", "-", ":", "-.")
MARKERS = ("o", "s", "^", "D")
LONGEST_NAME = 40


def plot_layers(
    series: Mapping[str, Mapping[str, Sequence[float]]], y_label: str, title: str = ""
) -> Figure:
    """Draw one value per layer: a line style per encoder, a colour per condition.

    Of a single condition, the encoders have the colours.

    Args:
        series: encoder -> condition -> values of layers 0 (encoder input), 1, ...
        y_label: what the values are, with their unit.
        title: what the reader should look at.
    """
    conditions = list(dict.fromkeys(name for curves in series.values() for name in curves))
    if not conditions:
        raise ValueError("got no curve; expected encoder -> condition -> values per layer.")
    figure, axes = _figure(title)
    styles = LINE_STYLES if len(series) > 1 else LINE_STYLES[1:]
    several = len(conditions) > 1
    for place, curves in enumerate(series.values()):
        look = _line_look(styles, place)
        for name, values in curves.items():
            color = _pick(COLORS, conditions.index(name) if several else place)
            axes.plot(range(len(values)), values, color=color, **look)
    axes.set(xlabel="layer (0: encoder input)", ylabel=y_label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    handles = [
        Line2D([], [], color=_pick(COLORS, i), label=plain(name), linewidth=3)
        for i, name in enumerate(conditions if several else ())
    ]
    handles += [
        Line2D([], [], color="#555555" if several else _pick(COLORS, i), label=plain(name),
               **_line_look(styles, i))
        for i, name in enumerate(series)
    ]  # fmt: skip
    _legend(figure, handles)
    return figure


def _line_look(styles: Sequence[str], place: int) -> dict:
    return {"linestyle": _pick(styles, place), "marker": _pick(MARKERS, place), "markersize": 4.5}


def plot_bars(
    bars: Mapping[str, Mapping[str, Interval]], y_label: str, title: str = ""
) -> Figure:
    """Draw bars with intervals: groups are conditions, a colour per encoder.

    Args:
        bars: encoder -> condition -> value with its interval, in the unit of `y_label`.
        y_label: what the bars are.
        title: what the reader should look at.
    """
    conditions = list(dict.fromkeys(name for found in bars.values() for name in found))
    if not conditions:
        raise ValueError("got no bar; expected encoder -> condition -> interval.")
    figure, axes = _figure(title)
    width = 0.8 / len(bars)
    for place, found in enumerate(bars.values()):
        present = [i for i, name in enumerate(conditions) if name in found]
        cells = [found[conditions[i]] for i in present]
        errors = np.array([[c.value - c.low, c.high - c.value] for c in cells]).T
        positions = np.array(present) + (place - (len(bars) - 1) / 2) * width
        axes.bar(
            positions, [cell.value for cell in cells], 0.92 * width, yerr=np.maximum(errors, 0),
            color=_pick(COLORS, place), error_kw={"elinewidth": 1, "capsize": 2},
        )  # fmt: skip
    axes.set_xticks(range(len(conditions)), [plain(name) for name in conditions])
    axes.set_ylabel(y_label)
    axes.grid(False, axis="x")
    handles = [Patch(color=_pick(COLORS, i), label=plain(name)) for i, name in enumerate(bars)]
    _legend(figure, handles)
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
    """
    logged = {name for entry in history for name in entry}
    drawn = {label: [n for n in names if n in logged] for label, names in panels.items()}
    drawn = {label: names for label, names in drawn.items() if names}
    if not drawn:
        raise ValueError(f"none of {panels} was logged; the log has {sorted(logged)}.")
    figure = Figure(figsize=(3.4 * len(drawn), 3.1), layout="constrained")
    if title:
        figure.suptitle(title.replace("$", r"\$"), fontsize=12)
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
    axes.set_yticks(range(len(phones)), map(plain, phones), fontsize=7)
    axes.grid(False)
    figure.colorbar(image, label="P(phone | unit)")
    return figure


def plain(text: str) -> str:
    """Return a name as matplotlib draws it: on one line, its dollars no formula."""
    text = "".join(c for c in " ".join(text.split()) if c.isprintable()).replace("$", r"\$")
    return text if len(text) <= LONGEST_NAME else text[: LONGEST_NAME - 1] + "…"


def _legend(figure: Figure, handles: Sequence[Artist]) -> None:
    """Put the legend below, where it takes no width from the curves."""
    figure.legend(handles=handles, frameon=False, loc="outside lower left", ncols=2, fontsize=9)


def _figure(title: str, width: float = 5.4, height: float = 3.8) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title.replace("$", r"\$"), loc="left", fontsize=11)
    _style(axes)
    return figure, axes


def _style(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)


def _pick(choices: Sequence[str], index: int) -> str:
    return choices[index % len(choices)]
