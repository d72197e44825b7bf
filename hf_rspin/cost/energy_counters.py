"""The three ways to count joules; each opens where it works, and is None elsewhere."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch

logger = logging.getLogger(__name__)


class EnergyCounter(Protocol):
    """Counts joules since it was opened."""

    method: ClassVar[str]

    def joules(self) -> float | None:
        """Return joules so far; None where the counter cannot be read any more."""

    def close(self) -> None:
        """Stop counting."""


class NvmlCounter:
    """The total energy counter of one NVIDIA GPU: its chip and memory, whoever uses them."""

    method = "nvml"

    def __init__(self, nvml: Any, handle: Any):
        self._nvml, self._handle = nvml, handle
        self._first = nvml.nvmlDeviceGetTotalEnergyConsumption(handle)  # mJ since the driver loaded

    @classmethod
    def open(cls, device: torch.device) -> NvmlCounter | None:
        """Return the counter of a CUDA device."""
        try:
            import pynvml  # of nvidia-ml-py
        except ImportError:
            return None
        try:
            pynvml.nvmlInit()
            # the numbers of torch and of NVML differ under CUDA_VISIBLE_DEVICES
            uuid = torch.cuda.get_device_properties(device).uuid
            return cls(pynvml, pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}"))
        except (pynvml.NVMLError, AttributeError):  # before Volta, part of a GPU, or not NVIDIA's
            return None

    def joules(self) -> float | None:
        """Return joules of the GPU."""
        try:
            now = self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle)
        except self._nvml.NVMLError:
            return None
        return (now - self._first) / 1000

    def close(self) -> None:
        """Do nothing: the library stays loaded for others."""


@dataclass
class _Zone:
    """One RAPL counter: µJ from 0 to a largest value, and from 0 again."""

    file: Path
    largest: int
    last: int

    def advance(self) -> int:
        """Return the µJ since the last look, less than one round."""
        now = int(self.file.read_text())
        gone, self.last = (now - self.last) % self.largest, now
        return gone


class RaplCounter:
    """The energy counters of all processor packages and their memory, by Linux's powercap.

    Looked at regularly from a thread, so that no round of a counter is missed.
    """

    method = "rapl"

    def __init__(self, zones: list[_Zone], interval: float):
        self._zones, self._microjoules, self._failed = zones, 0, False
        self._lock, self._closed = threading.Lock(), threading.Event()
        threading.Thread(target=self._watch, args=(interval,), daemon=True).start()

    @classmethod
    def open(cls, folder: Path, interval: float) -> RaplCounter | None:
        """Return a counter of the zones in a folder such as /sys/class/powercap."""
        try:
            zones = _zones(folder)
        except (OSError, ValueError):  # only root may read them
            return None
        return cls(zones, interval) if zones else None

    def joules(self) -> float | None:
        """Return joules of the machine."""
        self._look()
        return None if self._failed else self._microjoules / 1e6

    def close(self) -> None:
        """End the thread."""
        self._closed.set()

    def _watch(self, interval: float) -> None:
        while not self._closed.wait(interval):
            self._look()

    def _look(self) -> None:
        with self._lock:
            try:
                self._microjoules += sum(zone.advance() for zone in self._zones)
            except (OSError, ValueError):
                self._failed = True  # a part is missing from now on


def _zones(folder: Path) -> list[_Zone]:
    """Return packages and memory: cores and graphics are parts of a package, "psys" is all."""
    zones = []
    for place in sorted(folder.glob("*:*")):
        if place.name.startswith("intel-rapl-mmio") or not (place / "energy_uj").exists():
            continue  # the first are the same packages once more
        name = (place / "name").read_text().strip()
        if name.startswith("package") or name == "dram":
            largest = int((place / "max_energy_range_uj").read_text())
            file = place / "energy_uj"
            zones.append(_Zone(file, largest, int(file.read_text())))
    return zones


class PowerModel:
    """codecarbon's estimate from the kinds of processor, GPU and memory, and their load."""

    method = "estimated"

    def __init__(self, tracker: Any):
        self._tracker, self._joules = tracker, 0.0
        tracker.start_task()

    @classmethod
    def open(cls) -> PowerModel | None:
        """Return an estimate where codecarbon is installed."""
        try:
            from codecarbon import OfflineEmissionsTracker
        except ImportError:
            return None
        logging.getLogger("codecarbon").setLevel(logging.ERROR)
        try:
            # the country decides its emissions, of which nothing is read
            tracker = OfflineEmissionsTracker(
                country_iso_code="USA", save_to_file=False, log_level="error",
                allow_multiple_runs=True,
            )  # fmt: skip
            return cls(tracker)
        except (OSError, RuntimeError, ValueError) as error:  # it asks many parts of a machine
            logger.warning("codecarbon cannot estimate energy here: %s.", error)
            return None

    def joules(self) -> float | None:
        """Return joules of the machine."""
        task = self._tracker.stop_task()
        self._tracker.start_task()
        if task is None:
            return None
        self._joules += task.energy_consumed * 3.6e6  # kWh
        return self._joules

    def close(self) -> None:
        """End the threads of codecarbon."""
        self._tracker.stop()
