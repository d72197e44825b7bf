"""What this machine has and is fast at: devices, bfloat16, memory that is used again."""

from __future__ import annotations

import ctypes
import logging
import sys
from collections.abc import Callable

import torch

AUTO = "auto"  # a GPU where there is one
logger = logging.getLogger(__name__)

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_KEPT_BYTES = 2**31 - 1  # the largest value that mallopt takes


def check_device(name: str) -> str:
    """Return the name of a device that works: cuda where there is one for `auto`.

    Raises:
        ValueError: this machine, or this torch, has no such device.
    """
    if name == AUTO:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).split("\n")[0].rstrip(".")
        if reason.startswith("Expected one of"):  # a list of twenty types, none of use here
            reason = "torch knows none of this name"
        if reason.startswith("Could not run"):  # mps, xla: a list of all backends
            reason = "this torch is built without it"
        raise ValueError(
            f"the device {name!r} cannot be used ({reason}); expected auto, cpu, or cuda on a "
            "machine with a GPU."
        ) from error
    return name


def has_fast_bfloat16(device: str | None = None) -> bool:
    """Say whether bfloat16 autocast is faster than float32.

    True on GPUs with bfloat16, on processors with AMX (three to five times as fast as float32)
    and on those with AVX512-bf16 (twice); other processors emulate it, and are slower with it.

    Args:
        device: "cpu" or "cuda"; None for the GPU where there is one.
    """
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda"):
        return torch.cuda.is_bf16_supported(including_emulation=False)
    flags = torch.cpu.get_capabilities()
    return bool(flags.get("amx_bf16", False) or flags.get("avx512_bf16", False))


def use_large_allocations() -> bool:
    """Let the C library keep freed memory for the next tensor; call it where a script starts.

    Otherwise every tensor above 32 MiB is taken from the system and given back at once: each
    of its pages is cleared again at first touch, up to a quarter of a training step on a CPU. The
    process then holds the memory of its largest step to its end.

    Returns:
        Whether it was done: with glibc on Linux; elsewhere nothing happens.
    """
    mallopt = _of_c_library("mallopt")
    if mallopt is None:
        return False
    done = [mallopt(name, _KEPT_BYTES) for name in (_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD)]
    logger.debug("mallopt: %s", done)
    return all(done)


def release_memory() -> bool:
    """Give what was freed back to the system, after a step that took much of it.

    The C library keeps freed memory that lies between what is still used: steps that each need
    little of it at a time grow a process otherwise to the sum of them.

    Returns:
        Whether it was done: with glibc on Linux; elsewhere nothing happens.
    """
    trim = _of_c_library("malloc_trim")
    if trim is None:
        return False
    trim(0)
    return True


def _of_c_library(name: str) -> Callable[..., int] | None:
    """Return a function of glibc on Linux; None elsewhere."""
    if sys.platform != "linux":
        return None
    try:
        return getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError):  # another C library
        return None
