"""Figures of evaluations, analyses and training runs; each function returns a matplotlib Figure."""

from hf_rspin.evaluation.plots.curves import plot_layers, plot_snr, plot_training
from hf_rspin.evaluation.plots.frames import plot_frames
from hf_rspin.evaluation.plots.intervals import plot_intervals
from hf_rspin.evaluation.plots.planes import plot_plane
from hf_rspin.evaluation.plots.style import plain
from hf_rspin.evaluation.plots.units import plot_alignment, plot_phone_given_unit, plot_unit_use

__all__ = [
    "plain",
    "plot_alignment",
    "plot_frames",
    "plot_intervals",
    "plot_layers",
    "plot_phone_given_unit",
    "plot_plane",
    "plot_snr",
    "plot_training",
    "plot_unit_use",
]
