"""Finish the replacing of a folder that a kill interrupted; see `hf_rspin.units.whole_folder`."""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import time
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

# beside the new folder while it is written; after its name, so that it cannot be the same
LOCK, REPLACED = ".lock", ".replaced"
YOUNG = 60.0  # seconds in which a writer has certainly locked


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
