"""What a piece of work costs that is no training run, an evaluation for instance."""

from __future__ import annotations

import time
from typing import Any

import torch

from hf_rspin.cost.energy import EnergyMeter
from hf_rspin.cost.memory import peak_gpu_memory, peak_memory
from hf_rspin.cost.record import RunCost


class CostMeter:
    """Measures time, energy and memory of the inside of a `with`, in one process.

    Args:
        device: that works.
        device_name: as readers know it; default the device.
        **options: of `EnergyMeter`.

    Example:
        >>> with CostMeter("cpu") as meter:
        ...     total = sum(range(1000))
        >>> meter.cost(processed_hours=1.5).processed_hours
        1.5
    """

    def __init__(
        self, device: torch.device | str = "cpu", device_name: str | None = None, **options: Any
    ):
        self.device = torch.device(device)
        self.device_name = device_name or str(device)
        self.energy = EnergyMeter(self.device, **options)
        self.seconds = 0.0

    def __enter__(self) -> CostMeter:
        self.energy.start()
        self._began = time.perf_counter()
        return self

    def __exit__(self, *error: object) -> None:
        self.seconds = time.perf_counter() - self._began
        self.energy.stop()

    def cost(
        self, processed_hours: float, gflops: float | None = None, updates: int = 0
    ) -> RunCost:
        """Return the cost of the inside; peaks of memory are those since the process began.

        Args:
            processed_hours: of speech that went through an encoder.
            gflops: 10^9 operations of the encoder for a second of speech, see `forward_flops`.
            updates: of what was trained, a probe for instance.
        """
        joules, method = self.energy.read()
        return RunCost(
            processed_hours=processed_hours,
            updates=updates,
            wall_seconds=self.seconds,
            device_seconds=self.seconds,
            device=self.device_name,
            device_type=self.device.type,
            peak_memory_bytes=peak_memory(),
            peak_gpu_memory_bytes=peak_gpu_memory(self.device),
            forward_gflops_per_second_of_speech=gflops,
            energy_joules=joules,
            energy_method=method,
        )
