"""One run at a time in an output folder: a lock that dies with its process."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

logger = logging.getLogger(__name__)

LOCK = ".lock"
_held: set[Path] = set()  # by this process; `flock` would block it from itself


class OutputLockedError(ValueError):
    """Another process trains into the same folder."""


@contextlib.contextmanager
def output_lock(folder: str | Path, is_first: bool = True) -> Iterator[None]:
    """Hold the lock of `folder` inside; the same process may nest it.

    Of several processes of one run the first holds it for all (`is_first`).

    The lock belongs to an open file: the system takes it back when the process ends, however it
    ends. Where the file system has no locks, a warning is all.

    Raises:
        OutputLockedError: another process holds it.
    """
    folder = Path(folder).resolve()
    if not is_first or fcntl is None or folder in _held:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / LOCK, "a+", encoding="utf-8") as file:
        _acquire(file, folder)
        _held.add(folder)
        try:
            yield
        finally:
            _held.discard(folder)


def _acquire(file, folder: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.seek(0)
        owner = file.read().strip() or "unknown"
        raise OutputLockedError(
            f"{folder} is in use by another run (process {owner}): wait for it, or name another "
            "output_dir."
        ) from error
    except OSError as error:
        logger.warning("%s cannot be locked (%s): start no other run there.", folder, error)
        return
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
