"""What a name that is not known may have meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return how a sentence ends that lists the known names: with the nearest ones, or a stop.

    Example:
        >>> did_you_mean("gausian", ["gaussian", "clean"])
        '; did you mean gaussian?'
    """
    close = difflib.get_close_matches(name, list(known), n=2)
    return f"; did you mean {' or '.join(close)}?" if close else "."
