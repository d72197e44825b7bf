"""What a name or a path that does not exist may have meant; nothing heavy is imported."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

NAMES_SHOWN = 10


def nearby(path: Path) -> str:
    """Say what lies where a path that does not exist was looked for; "" where nothing does."""
    parent = path.parent
    while not parent.is_dir() and parent != parent.parent:
        parent = parent.parent
    names = sorted(entry.name for entry in parent.iterdir() if not entry.name.startswith("."))
    wanted = path.relative_to(parent).parts[0]
    close = difflib.get_close_matches(wanted, names, n=3)
    others = [name for name in names if name not in close]
    shown = (close + others)[:NAMES_SHOWN]
    more = f" and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
    return f"{parent} holds {', '.join(shown) or 'nothing'}{more}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return how a sentence ends that lists the known names: with the nearest ones, or a stop.

    Example:
        >>> did_you_mean("gausian", ["gaussian", "clean"])
        '; did you mean gaussian?'
    """
    close = difflib.get_close_matches(name, list(known), n=2)
    return f"; did you mean {' or '.join(close)}?" if close else "."
