"""What one run or evaluation cost: numbers in a file cost.json."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from hf_rspin.cost.energy import METHODS
from hf_rspin.utils import write_json

COST_FILE = "cost.json"


@dataclass(frozen=True)
class RunCost:
    """What one run cost, over its interruptions and processes.

    Attributes:
        processed_hours: of speech, of one view only, as Table 5 of R-Spin counts.
        updates: of the weights; 0 of an evaluation.
        wall_seconds: without the time that the run lay interrupted.
        device_seconds: the same times the number of processes; "GPU hours" on GPUs.
        device: name of what it ran on last.
        device_type: "cpu", "cuda" ...
        num_processes: of the last part, one device each.
        peak_memory_bytes: of the largest process; None: not known.
        peak_gpu_memory_bytes: tensors on the fullest GPU; None without one.
        forward_gflops_per_second_of_speech: 10^9 operations of the encoder, see `forward_flops`.
        energy_joules: None where a part of the run was not measured.
        energy_method: "nvml", "rapl", "estimated" or "none"; of parts, the least sure.
        init: what the run started from.

    Raises:
        ValueError: a method that is not known, or energy without one.
    """

    processed_hours: float
    updates: int
    wall_seconds: float
    device_seconds: float
    device: str
    device_type: str
    num_processes: int = 1
    peak_memory_bytes: int | None = None
    peak_gpu_memory_bytes: int | None = None
    forward_gflops_per_second_of_speech: float | None = None
    energy_joules: float | None = None
    energy_method: str = "none"
    init: str | None = None

    def __post_init__(self) -> None:
        if self.energy_method not in METHODS:
            raise ValueError(
                f"energy_method is {self.energy_method!r}; expected one of {', '.join(METHODS)}."
            )
        if (self.energy_joules is None) != (self.energy_method == "none"):
            raise ValueError(
                f"energy_joules is {self.energy_joules} with energy_method "
                f"{self.energy_method!r}; expected a number with its method, or None with 'none'."
            )

    @property
    def num_gpus(self) -> int:
        """Number of GPUs."""
        return self.num_processes if self.device_type == "cuda" else 0

    @property
    def gpu_hours(self) -> float:
        """Hours on a GPU, times their number."""
        return self.device_seconds / 3600 if self.device_type == "cuda" else 0.0

    @property
    def batch_minutes(self) -> float | None:
        """Mean minutes of speech per update, over all processes; None without updates."""
        return 60 * self.processed_hours / self.updates if self.updates else None

    def write(self, folder: str | Path) -> Path:
        """Write `folder/cost.json`, whole or not at all."""
        return write_json(Path(folder) / COST_FILE, asdict(self), indent=1)

    @classmethod
    def read(cls, folder: str | Path) -> RunCost:
        """Read what `write` wrote; fields of a later version are left out.

        Raises:
            FileNotFoundError: the folder has no cost.json.
            ValueError: it is damaged.
        """
        file = Path(folder) / COST_FILE
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            return cls(**{f.name: content[f.name] for f in fields(cls) if f.name in content})
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"{file} is not what a run writes ({error}); expected its costs: delete the file."
            ) from error
