"""A folder appears whole or not at all, and a kill in between is repaired at the next use."""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

# beside the new folder while it is written; after its name, so that it cannot be the same
LOCK, REPLACED = ".lock", ".replaced"
YOUNG = 60.0  # seconds in which a writer has certainly locked


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


def check_new_folder(folder: str | Path, what: str) -> None:
    """Refuse a folder that cannot be made or holds something, before work is spent.

    Args:
        folder: to be made; may exist if it is empty.
        what: how messages call what goes into it.

    Raises:
        ValueError: it is not empty, or it or what it would lie in is a file.
    """
    folder = Path(folder).resolve()
    if folder.is_dir() and any(folder.iterdir()):
        raise ValueError(f"{folder} is not empty: name a new folder for {what}.")
    existing = next(place for place in (folder, *folder.parents) if place.exists())
    if not existing.is_dir():
        raise ValueError(f"{existing} is a file; expected a folder for {what}.")


def repair_folder(folder: str | Path) -> None:
    """Finish what a killed `whole_folder` began, and remove what it left beside `folder`.

    The old folder is put away only when the new one is whole: where it is away and nothing is in
    its place, the new one takes it.
    """
    folder = Path(folder)
    if not folder.name:  # the current folder
        return
    for beside in folder.parent.glob(f".{glob.escape(folder.name)}.*.tmp"):
        if not beside.is_dir() or _is_in_use(beside, folder.name):  # somebody writes it now
            continue
        written, replaced = beside / folder.name, beside / f"{folder.name}{REPLACED}"
        with contextlib.suppress(OSError):  # a folder that may only be read stays as it is
            if replaced.exists() and not folder.exists():
                os.rename(written if written.exists() else replaced, folder)
            shutil.rmtree(beside, ignore_errors=True)


def lock(file: IO) -> bool:
    """Lock an open file until it is closed, or its process ends; say whether that was possible."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def _is_in_use(beside: Path, name: str) -> bool:
    try:
        with open(beside / f"{name}{LOCK}", encoding="utf-8") as file:
            return not lock(file)
    except OSError:  # not locked yet, or killed before it was
        with contextlib.suppress(OSError):
            return time.time() - beside.stat().st_mtime < YOUNG
        return True
