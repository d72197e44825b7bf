"""Small things that every part needs: what is written whole, hashes of weights, options."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


class RareHelp(str):
    """The help of an option that `--help` leaves out: argparse takes no other mark of a field."""


def option(default: Any, help: str, rare: bool = False) -> Any:
    """Return the field of a dataclass that is an option of a script, with its help.

    Args:
        default: of the option; a list is copied for every instance.
        help: what it does.
        rare: `--help` leaves it out, `--help_all` has it.
    """
    metadata = {"help": RareHelp(help) if rare else help}
    if isinstance(default, list):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)


@contextlib.contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path`, and put what is written there in its place at the end.

    A process that is killed or fails inside leaves what was there before. Processes of one run may
    write the same file.
    """
    path = Path(path)
    # processes in containers and on other machines may have the same number
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> Path:
    r"""Write a text file (UTF-8, line ends \n), whole or not at all; its folders are made."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
    return path


def write_json(path: str | Path, content: Any, indent: int | None = None) -> Path:
    """Write a JSON file, whole or not at all.

    Raises:
        TypeError: `content` is not made of JSON values; nothing is written.
        ValueError: it holds NaN or infinity, which JSON has not.
    """
    return write_text(path, json.dumps(content, indent=indent, allow_nan=False) + "\n")


def read_json(path: str | Path) -> dict[str, Any] | None:
    """Return the mapping in a JSON file; None where there is none that can be read."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


class NoSpaceError(ValueError):
    """The disk has no room for what is about to be written."""


def check_space(folder: str | Path, num_bytes: float) -> None:
    """Refuse to begin what the disk has no room for.

    Args:
        folder: to be written to, maybe not there yet.
        num_bytes: to be written.

    Raises:
        NoSpaceError: there is less room.
    """
    there = Path(folder).absolute()
    there = next(path for path in (there, *there.parents) if path.exists())
    free = shutil.disk_usage(there).free
    if free < num_bytes:
        raise NoSpaceError(
            f"{folder} needs {num_bytes / 1e9:.1f} GB, and the disk has {free / 1e9:.1f} GB left: "
            "free some, name a folder on another disk, or take less speech."
        )


def tensor_hash(tensors: Iterable[tuple[str, Tensor]]) -> str:
    """Return 16 hexadecimal digits that tell tensors, with their names, from others.

    Args:
        tensors: such as `model.state_dict().items()`; the order counts.
    """
    import torch

    digest = hashlib.sha256()
    for name, value in tensors:
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        raw = value.detach().cpu().contiguous().flatten().view(torch.uint8)
        digest.update(raw.numpy().data)
    return digest.hexdigest()[:16]


def mapping_option(name: str, given: object) -> dict | None:
    """Return an option that is a mapping, given as one or in JSON; None where nothing was given.

    Raises:
        ValueError: it is neither.
    """
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except json.JSONDecodeError as error:
            raise ValueError(f"--{name} is no JSON ({error}); expected a mapping.") from error
    if not isinstance(given, dict | None):
        raise ValueError(f"--{name} is {given}; expected a mapping.")
    return given
