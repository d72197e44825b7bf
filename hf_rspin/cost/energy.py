"""Energy of a piece of work, always together with how it was found."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import torch

from hf_rspin.cost.energy_counters import EnergyCounter, NvmlCounter, PowerModel, RaplCounter

POWERCAP = "/sys/class/powercap"
METHODS = ("nvml", "rapl", "estimated", "none")  # from the surest to none
OF_MACHINE = ("rapl", "estimated")  # all that the machine does meanwhile counts


class EnergyMeter:
    """Measures the energy that the inside of a `with` takes.

    Methods:

    * nvml: the energy counter of an NVIDIA GPU (Volta and later) for that GPU alone; package
      nvidia-ml-py.
    * rapl: the counters of processors and their memory in Linux, which usually only root may read;
      for work on the CPU. Other processes on the machine count too.
    * estimated: codecarbon's model of power, where that package is installed; of the machine.
    * none: no energy is known.

    Args:
        device: that works; "cpu", "cuda:1".
        powercap: folder of RAPL.
        interval: seconds between two looks at RAPL, whose counters begin anew at some value, after
            minutes to hours.

    Example:
        >>> with EnergyMeter("cpu") as meter:
        ...     total = sum(range(1000))
        >>> joules, method = meter.read()        # for instance (81230.4, "nvml")
    """

    def __init__(
        self,
        device: torch.device | str = "cpu",
        powercap: str | Path = POWERCAP,
        interval: float = 30.0,
    ):
        self.device, self.powercap, self.interval = torch.device(device), Path(powercap), interval
        self._counter: EnergyCounter | None = None
        self._result: tuple[float | None, str] = None, "none"

    def start(self) -> EnergyMeter:
        """Begin at 0, with the surest method that works here."""
        self.stop()
        if self.device.type == "cuda":
            self._counter = NvmlCounter.open(self.device)
        elif self.device.type == "cpu":
            self._counter = RaplCounter.open(self.powercap, self.interval)
        self._counter = self._counter or PowerModel.open()
        self._result = None, "none"
        return self

    def read(self) -> tuple[float | None, str]:
        """Return the joules since `start`, or until `stop`, and the method; None with "none"."""
        if self._counter is not None:
            joules = self._counter.joules()
            self._result = joules, "none" if joules is None else self._counter.method
        return self._result

    def stop(self) -> tuple[float | None, str]:
        """End, and return what `read` returns from now on."""
        self.read()
        if self._counter is not None:
            self._counter.close()
            self._counter = None
        return self._result

    def __enter__(self) -> EnergyMeter:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


def weakest(*methods: str) -> str:
    """Return the least sure of some methods: that of a sum."""
    return max(methods, key=METHODS.index)
