"""What the machine is fast at."""

from hf_rspin.device import check_device, has_fast_bfloat16

__all__ = ["check_device", "has_fast_bfloat16"]
