"""A folder appears whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def whole_folder(folder: Path, marker: str, what: str) -> Iterator[Path]:
    """Give a temporary folder to write to, and put it in the place of `folder` at the end.

    Args:
        folder: new, empty, or holding the file `marker`: then it is replaced.
        marker: file by which a folder of this kind is known.
        what: how messages call such folders.

    Raises:
        FileExistsError: `folder` exists and holds something else.
    """
    if folder.exists() and not (folder / marker).is_file() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} holds files but no {what}; name a new or empty folder.")
    beside = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    written, replaced = beside / folder.name, beside / "replaced"  # cards name their folder
    written.mkdir(parents=True)
    try:
        yield written
        if folder.exists():
            os.rename(folder, replaced)
        os.rename(written, folder)
    finally:
        if replaced.exists() and not folder.exists():
            os.rename(replaced, folder)
        shutil.rmtree(beside, ignore_errors=True)
