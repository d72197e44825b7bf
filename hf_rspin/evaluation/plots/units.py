"""What units say: heat map of phones given units, units in use, boundaries under a waveform."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hf_rspin.audio import SAMPLING_RATE
from hf_rspin.evaluation.plots.style import (
    COLORS,
    TEXT,
    legend,
    new_figure,
    new_panels,
    pick,
    plain,
)


def plot_phone_given_unit(probabilities: np.ndarray, phones: Sequence[str], title: str) -> Figure:
    """Draw the heat map P(phone | unit), (phones, units); units sorted by their likeliest phone."""
    used = probabilities[:, probabilities.sum(axis=0) > 0]
    order = np.lexsort((-used.max(axis=0), used.argmax(axis=0)))
    figure, axes = new_figure(title, height=max(3.0, 0.15 * len(phones) + 1))
    image = axes.imshow(
        used[:, order], aspect="auto", cmap="magma_r", vmin=0, vmax=1, interpolation="nearest"
    )
    axes.set(xlabel="unit, sorted by its likeliest phone", ylabel="phone")
    axes.set_yticks(range(len(phones)), map(plain, phones), fontsize=TEXT)
    axes.grid(False)
    bar = figure.colorbar(image, label="P(phone | unit)")
    bar.ax.tick_params(labelsize=TEXT)
    bar.ax.yaxis.label.set_fontsize(TEXT)
    return figure


def plot_unit_use(counts: Mapping[str, np.ndarray], title: str = "") -> Figure:
    """Draw how often each unit occurs, the most frequent first, on logarithmic axes (Figure 9).

    Args:
        counts: name -> occurrences of each unit, (units,); those that never occur count as well.
        title: what the reader should look at.

    Raises:
        ValueError: there are no counts.
    """
    if not counts:
        raise ValueError("got no counts; expected name -> occurrences of each unit.")
    figure, axes = new_figure(title)
    handles = []
    for place, (name, found) in enumerate(counts.items()):
        ranked = np.sort(np.asarray(found))[::-1]
        used = int((ranked > 0).sum())
        color = pick(COLORS, place)
        axes.plot(np.arange(1, used + 1), ranked[:used], color=color)
        text = f"{plain(name)}: {used} of {len(ranked)} in use"
        handles.append(Line2D([], [], color=color, label=text))
    axes.set(xscale="log", yscale="log", xlabel="unit, by frequency", ylabel="occurrences")
    legend(figure, handles)
    return figure


def plot_alignment(
    waveform: np.ndarray,
    phones: Sequence[tuple[float, float, str]],
    boundaries: Mapping[str, Sequence[float]],
    title: str = "",
) -> Figure:
    """Draw a waveform with phone boundaries above, and predicted ones below (Figure 8).

    Args:
        waveform: (samples,) at 16 kHz.
        phones: start and end in seconds, and name.
        boundaries: name -> predicted boundaries in seconds; a panel each.
        title: what the reader should look at.
    """
    figure, panels = new_panels(title, 1 + len(boundaries), 1.3)
    times = np.arange(len(waveform)) / SAMPLING_RATE
    for axes in panels:
        axes.plot(times, waveform, color="#999999", linewidth=0.4, rasterized=True)
        axes.set_yticks([])
        axes.grid(False)
        axes.set_xlim(0, times[-1] if len(times) else 1)
    height = 1.15 * float(np.abs(waveform).max(initial=1e-6))
    narrow = 0.022 * len(waveform) / SAMPLING_RATE  # seconds that a letter takes
    for start, end, name in phones:
        panels[0].axvline(start, color=COLORS[0], linewidth=0.8)
        if end - start > narrow * len(name):
            panels[0].text((start + end) / 2, height, plain(name), ha="center", fontsize=TEXT)
    panels[0].set_ylabel("phones")
    for place, (name, found) in enumerate(boundaries.items()):
        axes = panels[place + 1]
        for time in found:
            axes.axvline(time, color=pick(COLORS, place + 1), linewidth=0.8)
        axes.set_ylabel(plain(name))
    panels[-1].set_xlabel("seconds")
    return figure
