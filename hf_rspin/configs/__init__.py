"""YAML configs that ship with the package: recipes of the papers, and small ones for two cores.

A command finds them by name: `hf-rspin train --objective rspin rspin_small.yaml`.
"""

from __future__ import annotations

from pathlib import Path

_ROOT = Path(__file__).resolve().parent
_FORMER = (Path("configs"), Path("training_scripts/configs"))  # where they lay in version 0.1.0


def config_names() -> list[str]:
    """Return the names of all configs, such as `rspin_small.yaml`, those in folders last."""
    found = [str(path.relative_to(_ROOT)) for path in _ROOT.rglob("*.yaml")]
    return sorted(found, key=lambda name: ("/" in name, name))


def config_file(name: str | Path) -> Path:
    """Return a file, or where there is none of that name, the config that ships with the package.

    Args:
        name: path of a file; or the name of a config, also as `configs/NAME`.

    Example:
        >>> config_file("rspin_small.yaml").is_file()
        True
    """
    path = Path(name)
    if path.exists() or path.is_absolute():
        return path
    for folder in _FORMER:
        if path.is_relative_to(folder):
            path = path.relative_to(folder)
            break
    return shipped_config(str(path)) if str(path) in config_names() else Path(name)


def shipped_config(name: str) -> Path:
    """Return the config of a name that ships with the package, whatever lies in this folder.

    Raises:
        ValueError: there is none of that name.
    """
    if name not in config_names():
        raise ValueError(f"the package has no config {name}; see `hf-rspin configs`.")
    return _ROOT / name
