"""The picture of the page: both spectrograms, with the units and their times below."""

from __future__ import annotations

import io

import numpy as np
import scipy.signal
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from hf_rspin.audio import SAMPLING_RATE
from hf_rspin.demo.work import Comparison
from hf_rspin.units import UnitSequence
from hf_rspin.units.acoustic_pieces import IGNORED_LABEL

WIDEST, NARROWEST, PER_SECOND = 9000, 1060, 300  # pixels of the page
DPI = 100
SPECTROGRAM, LANE, GAP = 1.35, 0.34, 0.2  # inches
ABOVE, BELOW = 0.3, 0.45  # for the title and the time axis
RANGE_DB = 70.0
TEXT = 8  # points: 11 pixels
DIGIT = 6.5  # pixels of one digit of a unit
PLAIN, OTHER_PLAIN, CHANGED = "#eceff3", "#dde2e9", "#f3a261"
MARGINS = (64, 14)  # pixels left and right


def picture(comparison: Comparison) -> tuple[bytes, int]:
    """Draw the recording and its view; below each, the units that every model makes of it.

    Units whose frames changed are orange in the view. Long recordings give a wide picture, for a
    box that scrolls.

    Returns:
        A PNG, and how many pixels wide the page should show it.
    """
    seconds = len(comparison.original) / SAMPLING_RATE
    width = int(np.clip(PER_SECOND * seconds, NARROWEST, WIDEST))
    figure = _figure(comparison, seconds, width)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DPI * (2 if width < 2 * NARROWEST else 1))
    return file.getvalue(), width


def spectrogram(waveform: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return levels in dB below the loudest, (513, frames), and the frames' times in seconds.

    Args:
        waveform: (samples,) at 16 kHz, at least a frame long. Windows of 25 ms every 5 ms.
    """
    window = scipy.signal.get_window("hann", 400)
    stft = scipy.signal.ShortTimeFFT(window, 80, SAMPLING_RATE, mfft=1024)
    power = stft.spectrogram(waveform.astype(np.float64))
    levels = 10 * np.log10(power / max(power.max(), 1e-12) + 1e-10)
    return levels, stft.t(len(waveform))


def _figure(comparison: Comparison, seconds: float, width: int) -> Figure:
    lanes = len(comparison.changes)
    view = [SPECTROGRAM, *[LANE] * lanes]
    heights = [*view, GAP, *view]
    height = 1.1 * sum(heights) + ABOVE + BELOW  # a tenth for the space between rows
    figure = Figure(figsize=(width / DPI, height))
    grid = figure.add_gridspec(
        len(heights), 1, height_ratios=heights, hspace=0.12, top=1 - ABOVE / height,
        bottom=BELOW / height, left=MARGINS[0] / width, right=1 - MARGINS[1] / width,
    )  # fmt: skip
    rows = [figure.add_subplot(row) for place, row in enumerate(grid) if place != len(view)]
    per_second = (width - sum(MARGINS)) / seconds
    views = (("Original", comparison.original), ("Distorted", comparison.distorted))
    for place, (title, waveform) in enumerate(views):
        first = place * (lanes + 1)
        _draw_spectrogram(rows[first], waveform, title)
        for lane, change in enumerate(comparison.changes):
            sequence = (change.original, change.distorted)[place]
            marks = change.segments_changed(sequence) & bool(place)
            label = "AB"[lane] if lanes > 1 else "units"
            _draw_units(rows[first + 1 + lane], sequence, marks, per_second, label)
    for axes in rows:
        axes.set_xlim(0, seconds)
        axes.tick_params(labelsize=TEXT, labelbottom=axes is rows[-1], bottom=axes is rows[-1])
    rows[-1].set_xlabel("Time (s)", fontsize=TEXT, loc="left")
    rows[-1].xaxis.set_major_locator(_ticks(per_second))
    return figure


def _ticks(per_second: float) -> MultipleLocator:
    steps = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
    return MultipleLocator(next((step for step in steps if step * per_second >= 40), 1.0))


def _draw_spectrogram(axes: Axes, waveform: np.ndarray, title: str) -> None:
    levels, times = spectrogram(waveform)
    axes.imshow(
        levels, aspect="auto", origin="lower", cmap="magma", vmin=-RANGE_DB, vmax=0,
        extent=(times[0], times[-1], 0, SAMPLING_RATE / 2000), interpolation="nearest",
    )  # fmt: skip
    axes.set_ylabel("Frequency (kHz)", fontsize=TEXT)
    axes.set_yticks([0, 2, 4, 6, 8])
    axes.set_title(title, fontsize=TEXT + 1.5, loc="left", pad=3)


def _draw_units(
    axes: Axes, sequence: UnitSequence, marks: np.ndarray, per_second: float, label: str
) -> None:
    for index, (unit, start, end) in enumerate(
        zip(sequence.ids.tolist(), sequence.starts, sequence.ends, strict=True)
    ):
        color = CHANGED if marks[index] else (PLAIN, OTHER_PLAIN)[index % 2]
        axes.axvspan(start, end, color=color, linewidth=0)
        text = "?" if unit == IGNORED_LABEL else str(unit)
        if DIGIT * len(text) <= (end - start) * per_second:
            axes.text((start + end) / 2, 0.5, text, fontsize=TEXT, ha="center", va="center")
    axes.vlines(sequence.starts, 0, 1, color="white", linewidth=0.8)
    axes.set_ylim(0, 1)
    axes.set_yticks([])
    axes.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=TEXT + 1)
    axes.spines[["top", "left", "right", "bottom"]].set_visible(False)
