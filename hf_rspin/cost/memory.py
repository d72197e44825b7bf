"""Peak memory of a process, and of what it holds on a GPU."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

try:
    import resource
except ImportError:  # Windows
    resource = None


def peak_memory() -> int | None:
    """Return the most memory that this process has held at once, in bytes; None: nobody says.

    Data loaders in other processes are not in it, shared libraries are.
    """
    status = Path("/proc/self/status")
    try:
        # ru_maxrss of Linux is handed down: that of a program is at least that of its caller
        found = re.search(r"VmHWM:\s*(\d+) kB", status.read_text())
    except OSError:
        found = None
    if found:
        return int(found.group(1)) * 1024
    if resource is None:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def peak_gpu_memory(device: torch.device | str) -> int | None:
    """Return the most memory in tensors on a CUDA device at once, in bytes; None elsewhere.

    Counted from the start of the process or `torch.cuda.reset_peak_memory_stats`; what the
    allocator keeps in reserve, and the driver, come on top.
    """
    import torch

    device = torch.device(device)
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
