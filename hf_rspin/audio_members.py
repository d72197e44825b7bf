"""Audio inside of tar files, found by its place: no archive is unpacked or read from its start.

A member is named `ARCHIVE.tar!OFFSET+SIZE!NAME`, in bytes, wherever the path of a file may stand.
"""

from __future__ import annotations

import re
from pathlib import Path

_MEMBER = re.compile(
    r"(?P<archive>.+\.(?i:tar))!(?P<offset>\d+)\+(?P<size>\d+)!(?P<name>.+)", re.DOTALL
)


def member_path(archive: str | Path, offset: int, size: int, name: str) -> str:
    """Return how a member of an archive is named where paths stand.

    Args:
        archive: a file that ends in .tar.
        offset: of the first byte of the member's content.
        size: in bytes.
        name: of the member, with its suffix.
    """
    return f"{archive}!{offset}+{size}!{name}"


def is_member(path: object) -> bool:
    """Say whether a path names a member of an archive."""
    return isinstance(path, str) and "!" in path and _MEMBER.fullmatch(path) is not None


def read_member(path: str) -> bytes:
    """Return the content of a member.

    Raises:
        OSError: the archive cannot be read, or is shorter than it was.
    """
    found = _MEMBER.fullmatch(path)
    size = int(found["size"])
    with open(found["archive"], "rb") as file:
        file.seek(int(found["offset"]))
        content = file.read(size)
    if len(content) < size:
        raise OSError(f"the archive ends before it: copy {found['archive']} again")
    return content
