"""Times and sizes as people say them."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """Return a time as people say it."""
    if seconds < 90:
        return f"{max(1.0, seconds):.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.{0 if seconds > 600 else 1}f} min"
    return f"{seconds / 3600:.1f} h"


def size(num_bytes: float) -> str:
    """Return a number of bytes as people say it."""
    if num_bytes < 1e9:
        return f"{max(1.0, num_bytes / 1e6):.0f} MB"
    return f"{num_bytes / 1e9:.1f} GB"
