"""Which devices work here."""

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
