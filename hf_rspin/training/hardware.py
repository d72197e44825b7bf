"""What the machine is fast at."""

from __future__ import annotations

import torch


def check_device(name: str) -> str:
    """Return the name of a device that works.

    Raises:
        ValueError: this machine, or this torch, has no such device.
    """
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).split("\n")[0].rstrip(".")
        raise ValueError(
            f"the device {name!r} cannot be used ({reason}); expected cpu, or cuda on a machine "
            "with a GPU."
        ) from error
    return name


def has_fast_bfloat16() -> bool:
    """Say whether bfloat16 autocast is faster than float32 here.

    True on GPUs with bfloat16 and on processors with AMX (three to five times faster than
    float32); other processors emulate it, and are slower with it.
    """
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.cpu.get_capabilities().get("amx_bf16", False))
