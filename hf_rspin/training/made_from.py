"""Results of a step are reused only where the same step would make them again."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import datasets

MADE_FROM = "made_from.json"


def corpus_key(corpus: datasets.Dataset) -> dict[str, Any]:
    """Return what tells a corpus from another: its size, and a hash of its ids and durations."""
    digest = hashlib.sha256()
    for key, seconds in zip(corpus["id"], corpus["duration"], strict=True):
        digest.update(f"{key}\t{round(float(seconds), 3)}\n".encode())
    return {"utterances": len(corpus), "corpus": digest.hexdigest()[:16]}


def check_made_from(folder: str | Path, now: Mapping[str, Any], results: tuple[str, ...]) -> None:
    """Note in `folder` what its results are made from; refuse those made from something else.

    Args:
        folder: where the results go; made here.
        now: settings that decide the results, JSON values.
        results: names in `folder` that are results.

    Raises:
        ValueError: the results there were made from something else, or nobody knows from what.
    """
    folder, remedy = Path(folder), "name another folder or remove it."
    file = folder / MADE_FROM
    now = json.loads(json.dumps(dict(now)))
    found = [name for name in results if (folder / name).exists()]
    if found:
        if not file.is_file():
            raise ValueError(
                f"{folder} holds {found[0]}, but no {MADE_FROM} says from what it was made: "
                f"{remedy}"
            )
        before = json.loads(file.read_text(encoding="utf-8"))
        changed = [name for name in {**before, **now} if before.get(name) != now.get(name)]
        if changed:
            values = ", ".join(
                f"{name} {before.get(name)} (now {now.get(name)})" for name in changed
            )
            raise ValueError(f"{folder} holds {found[0]} made from {values}: {remedy}")
        return
    folder.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(f".{os.getpid()}.tmp")  # the processes of a run all write it
    temporary.write_text(json.dumps(now, indent=2) + "\n", encoding="utf-8")
    temporary.replace(file)
