"""Public names of a package, imported when they are first used.

To import torch and transformers takes seconds, and the help of a command needs neither.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module


def import_later(package: str, module_of: Mapping[str, str]) -> Callable[[str], object]:
    """Return the `__getattr__` of a package.

    Args:
        package: its `__name__`.
        module_of: name -> module that has it, relative to the package: `kmeans`, or
            `.data.corpus` beside it.

    Example:
        >>> __getattr__ = import_later(__name__, {"KMeans": "kmeans"})
    """

    def get(name: str) -> object:
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f".{module_of[name]}", package), name)

    return get
