"""What a condition costs: elapsed and processor time of features and probes."""

from __future__ import annotations

import time

from torch import Tensor

from hf_rspin.evaluation.conditions import Distortion
from hf_rspin.evaluation.probes.base import Metric, Probe, Row


class CostProbe(Probe):
    """Time from the first to the last utterance of a condition, all probes together.

    Clean features were computed before, so that the clean condition costs the probes alone.
    """

    name = "cost"
    metrics = (
        Metric(
            "seconds", "Elapsed time", "seconds",
            "Seconds per condition, features (but those of clean speech) and probes together.",
            digits=1, plotted=False, in_summary=False,
        ),
        Metric(
            "cpu_seconds", "Processor time", "seconds", "Processor seconds of all threads.",
            digits=1, plotted=False, in_summary=False,
        ),
    )  # fmt: skip

    def begin(self, condition: Distortion) -> None:
        """Start the clocks."""
        self._start = time.perf_counter(), time.process_time()

    def update(self, index: int, features: Tensor) -> None:
        """Do nothing."""

    def rows(self) -> list[Row]:
        """Return the time since `begin`."""
        return [
            Row("seconds", time.perf_counter() - self._start[0]),
            Row("cpu_seconds", time.process_time() - self._start[1]),
        ]
