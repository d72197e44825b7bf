"""What the machine is fast at."""

from __future__ import annotations

import torch

from hf_rspin.device import check_device

__all__ = ["check_device", "has_fast_bfloat16"]


def has_fast_bfloat16() -> bool:
    """Say whether bfloat16 autocast is faster than float32 here.

    True on GPUs with bfloat16 and on processors with AMX (three to five times faster than
    float32); other processors emulate it, and are slower with it.
    """
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.cpu.get_capabilities().get("amx_bf16", False))
