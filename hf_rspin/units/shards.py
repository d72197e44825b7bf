"""Partial results of a long extraction: written piece by piece, found again after a kill."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hf_rspin.utils import atomic, write_json

logger = logging.getLogger(__name__)

_PLAN = "plan.json"
_FORMAT = 2  # of the shards; 1 had the ids of the utterances
_HASHED = 100_000  # utterances at a time
_OWN = re.compile(r"plan\.(json|tmp)|shard_\d+\.(npz|tmp)|\..*\.tmp")


class Shards:
    """Splits a corpus into shards of similar lengths and keeps the units of each in a file.

    Args:
        folder: holds the plan and one file per finished shard. Results of another plan (other
            corpus, other extractor) are discarded with a warning.
        provenance: what makes the units.
        ids: utterance ids.
        durations: (utterances,) in seconds.
        shard_seconds: audio per shard.

    Raises:
        ValueError: an id comes twice.
        FileExistsError: `folder` holds other files.
    """

    def __init__(
        self,
        folder: Path,
        provenance: Mapping[str, Any],
        ids: list[str],
        durations: np.ndarray,
        shard_seconds: float,
    ) -> None:
        self.folder = folder
        if len(set(ids)) != len(ids):
            twice = next(name for name in ids if ids.count(name) > 1)
            raise ValueError(f"The utterance id {twice!r} comes twice; ids must be unique.")
        order = np.argsort(durations, kind="stable")
        shard_of = (np.cumsum(durations[order]) // shard_seconds).astype(np.int64)
        self.rows = np.split(order, np.flatnonzero(np.diff(shard_of)) + 1)
        self.num_rows = len(ids)
        plan = {
            "provenance": dict(provenance),
            "corpus": _corpus_hash(ids, durations),
            "shard_seconds": shard_seconds,
            "format": _FORMAT,
        }
        self._start(plan)

    @property
    def num_done(self) -> int:
        """Number of utterances in finished shards."""
        return self.num_rows - sum(len(rows) for _, rows in self.missing())

    def missing(self, part: int = 0, num_parts: int = 1) -> Iterator[tuple[int, np.ndarray]]:
        """Yield number and corpus rows of each shard that has no result yet.

        Args:
            part: of the processes that divide the shards, from 0.
            num_parts: how many they are.
        """
        for shard, rows in enumerate(self.rows):
            if shard % num_parts == part and not self._path(shard).is_file():
                yield shard, rows

    def write(self, shard: int, units: Mapping[int, np.ndarray]) -> None:
        """Store the units (frames,) by corpus row of one shard, whole or not at all."""
        lengths = np.array([len(one) for one in units.values()], np.int64)
        values = np.concatenate([np.zeros(0, np.int32), *units.values()]).astype(np.int32)
        rows = np.array(list(units), np.int64)
        with atomic(self._path(shard)) as temporary, open(temporary, "wb") as file:
            np.savez(file, rows=rows, lengths=lengths, values=values)

    def lengths(self) -> np.ndarray:
        """Return the frames of each corpus row (rows,), -1 where it could not be used."""
        found = np.full(self.num_rows, -1, np.int64)
        for shard in range(len(self.rows)):
            with np.load(self._path(shard)) as content:  # reads only what is asked for
                found[content["rows"]] = content["lengths"]
        return found

    def fill(self, values: np.ndarray, starts: np.ndarray, num_units: int) -> None:
        """Write the units of all shards where they belong, one shard in memory at a time.

        Args:
            values: (total frames,) maybe on the disk.
            starts: (rows,) where each corpus row begins in `values`.
            num_units: units are 0 to num_units - 1.

        Raises:
            ValueError: a unit is out of that range.
        """
        for shard in range(len(self.rows)):
            with np.load(self._path(shard)) as content:
                found, ends = content["values"], np.cumsum(content["lengths"])
                if len(found) and not (0 <= found.min() and found.max() < num_units):
                    raise ValueError(
                        f"{self._path(shard)} holds a unit outside of 0 to {num_units - 1}: the "
                        "units and their number must be of the same extractor."
                    )
                for row, end, length in zip(content["rows"], ends, content["lengths"], strict=True):
                    values[starts[row] : starts[row] + length] = found[end - length : end]

    def _path(self, shard: int) -> Path:
        return self.folder / f"shard_{shard:05d}.npz"

    def _start(self, plan: dict) -> None:
        file = self.folder / _PLAN
        if file.is_file() and json.loads(file.read_text()) == plan:
            logger.info("Going on with the partial results in %s.", self.folder)
            return
        if self.folder.exists():
            foreign = [f.name for f in self.folder.iterdir() if not _OWN.fullmatch(f.name)]
            if foreign:
                raise FileExistsError(
                    f"{self.folder} is where partial results go, but holds {foreign[0]}; move it."
                )
            if not file.is_file() and not any(self.folder.glob("shard_*.npz")):
                write_json(file, plan, indent=2)  # another process has just made the folder
                return
            logger.warning(
                "The partial results in %s are of another corpus or model: starting again.",
                self.folder,
            )
            shutil.rmtree(self.folder)
        write_json(file, plan, indent=2)


def _corpus_hash(ids: list[str], durations: np.ndarray) -> str:
    """Return what tells a corpus from others, in the memory of a part of it."""
    digest = hashlib.sha256()
    for first in range(0, len(ids), _HASHED):
        part = slice(first, first + _HASHED)
        digest.update(json.dumps([ids[part], list(map(float, durations[part]))]).encode())
    return digest.hexdigest()
