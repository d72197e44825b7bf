"""In which precision a folder of results is computed: one for all processes that share it."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

from hf_rspin.device import has_fast_bfloat16

logger = logging.getLogger(__name__)

PRECISION_FILE = "precision.json"


def folder_precision(folder: str | Path, asked: bool | None, device: str) -> bool:
    """Say whether encoders are autocast to bfloat16.

    Without a wish, bfloat16 where it is faster than float32; the first process, with or without
    one, decides for all without one that follow in the folder, on whatever machines: features of
    both would be compared as if they were the same.

    Args:
        folder: of the results.
        asked: what the user asks for; this counts.
        device: of the encoders.

    Raises:
        ValueError: the record of the folder is damaged.
    """
    file = Path(folder) / PRECISION_FILE
    fast = has_fast_bfloat16(device) if asked is None else asked
    file.parent.mkdir(parents=True, exist_ok=True)
    own = file.with_name(f".{PRECISION_FILE}.{os.getpid()}")
    own.write_text(json.dumps({"bf16": fast}) + "\n", encoding="utf-8")
    try:
        os.link(own, file)  # whole, or not at all, and only if there is none
    except FileExistsError:
        pass
    except OSError:  # a file system without links
        if not file.exists():
            own.replace(file)
    finally:
        own.unlink(missing_ok=True)
    if asked is not None:
        return asked
    try:
        bf16 = bool(json.loads(file.read_text(encoding="utf-8"))["bf16"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file} is damaged ({error}): remove it, or give --bf16.") from error
    if bf16 != fast:
        logger.info(
            "%s was begun with encoders in %s: so are these, though %s is faster here; --bf16 %s "
            "or another folder changes it.",
            folder, name_of(bf16), name_of(fast), str(fast).lower(),
        )  # fmt: skip
    return bf16


def name_of(bf16: bool) -> str:
    """Return how a precision is called."""
    return "bfloat16" if bf16 else "float32"
