"""Files that are replaced as a whole: a kill leaves the old one or the new one."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def write_text(path: str | Path, text: str) -> Path:
    """Write a text file at once; its folders are made."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)
    return path


def write_json(path: str | Path, content: Any) -> Path:
    """Write a JSON file at once.

    Raises:
        TypeError: `content` is not made of JSON values; nothing is written.
        ValueError: it holds NaN or infinity, which JSON has not.
    """
    return write_text(path, json.dumps(content, allow_nan=False))
