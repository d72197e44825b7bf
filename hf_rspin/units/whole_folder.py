"""A folder appears whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hf_rspin.folder_repair import LOCK, REPLACED, lock, repair_folder


@contextlib.contextmanager
def whole_folder(folder: Path, marker: str, what: str) -> Iterator[Path]:
    """Give a temporary folder to write to, and put it in the place of `folder` at the end.

    Where the process is killed between the two renames of the end, `repair_folder` finishes them;
    this function calls it first.

    Args:
        folder: new, empty, or holding the file `marker`: then it is replaced.
        marker: file by which a folder of this kind is known.
        what: how messages call such folders.

    Raises:
        FileExistsError: `folder` exists and holds something else.
    """
    repair_folder(folder)
    if folder.exists() and not (folder / marker).is_file() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} holds files but no {what}; name a new or empty folder.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(".tmp", f".{folder.name}.", folder.parent))
    written = beside / folder.name  # cards name their folder
    replaced = beside / f"{folder.name}{REPLACED}"
    written.mkdir()
    try:
        with open(beside / f"{folder.name}{LOCK}", "w", encoding="utf-8") as file:
            lock(file)
            yield written
            if folder.exists():
                os.rename(folder, replaced)
            os.rename(written, folder)
    finally:
        if replaced.exists() and not folder.exists():
            os.rename(replaced, folder)
        shutil.rmtree(beside, ignore_errors=True)
