"""Partial results of a long extraction: written piece by piece, found again after a kill.

A shard holds utterances of similar lengths, so that batches have little padding; all of them come
from one block of the corpus, so that joining the shards in their order writes block after block:
a file of labels that is larger than the memory is never written all over.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hf_rspin.utils import atomic, write_json

logger = logging.getLogger(__name__)

_PLAN = "plan.json"
_FORMAT = 2  # of the shards; 1 had the ids of the utterances
_HASHED = 100_000  # utterances at a time
BLOCK_SECONDS = 256 * 3600.0  # of audio: 92 MB of labels of two bytes
_OWN = re.compile(r"plan\.(json|tmp)|shard_\d+\.(npz|tmp)|\..*\.tmp")


class ShardError(ValueError):
    """A file of partial results cannot be used."""


class Shards:
    """Splits a corpus into shards of similar lengths and keeps the units of each in a file.

    Shards are numbered in the order of the corpus's blocks (neighbours of `block_seconds`).

    Args:
        folder: holds the plan and one file per finished shard. Results of another plan (other
            corpus, other extractor) are discarded with a warning.
        provenance: what makes the units.
        ids: utterance ids.
        durations: (utterances,) in seconds.
        shard_seconds: audio per shard.
        block_seconds: audio of the neighbours that a shard chooses from.

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
        block_seconds: float = BLOCK_SECONDS,
    ) -> None:
        self.folder = folder
        if len(set(ids)) != len(ids):
            twice = next(name for name in ids if ids.count(name) > 1)
            raise ValueError(f"The utterance id {twice!r} comes twice; ids must be unique.")
        block = (np.cumsum(durations) // block_seconds).astype(np.int64)
        order = np.lexsort((durations, block))  # by block, then by duration, then by row
        shard_of = (np.cumsum(durations[order]) // shard_seconds).astype(np.int64)
        self.rows = np.split(order, np.flatnonzero(np.diff(shard_of)) + 1)
        self.num_rows = len(ids)
        plan = {
            "provenance": dict(provenance),
            "corpus": _corpus_hash(ids, durations),
            "shard_seconds": shard_seconds,
            "format": _FORMAT,
        }
        if len(block) and block[-1] > 0:  # plans of smaller corpora are as they were before blocks
            plan["block_seconds"] = block_seconds
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
            if shard % num_parts == part and not self.path(shard).is_file():
                yield shard, rows

    def write(self, shard: int, units: Mapping[int, np.ndarray]) -> None:
        """Store the units (frames,) by corpus row of one shard, whole or not at all."""
        lengths = np.array([len(one) for one in units.values()], np.int64)
        values = np.concatenate([np.zeros(0, np.int32), *units.values()])
        small = values.max(initial=0) <= np.iinfo(np.int16).max
        values = values.astype(np.int16 if small else np.int32)
        rows = np.array(list(units), np.int64)
        with atomic(self.path(shard)) as temporary, open(temporary, "wb") as file:
            np.savez(file, rows=rows, lengths=lengths, values=values)

    def lengths(self) -> np.ndarray:
        """Return the frames of each corpus row (rows,), -1 where it could not be used.

        Raises:
            ShardError: a file is damaged, or holds utterances of another shard.
        """
        found = np.full(self.num_rows, -1, np.int64)
        for shard, expected in enumerate(self.rows):
            rows, lengths = self._read(shard, "rows", "lengths")  # reads only what is asked for
            if not np.isin(rows, expected).all() or len(np.unique(rows)) != len(rows):
                raise ShardError(
                    f"{self.path(shard)} holds utterances of another part: remove it, and run "
                    "the same command again."
                )
            found[rows] = lengths
        return found

    def fill(self, values: np.ndarray, starts: np.ndarray, num_units: int) -> None:
        """Write the units of all shards where they belong, one shard in memory at a time.

        Args:
            values: (total frames,) maybe on the disk; written one block of the corpus after the
                other.
            starts: (rows,) where each corpus row begins in `values`.
            num_units: units are 0 to num_units - 1.

        Raises:
            ShardError: a unit is out of that range, or a file is damaged.
        """
        for shard in range(len(self.rows)):
            self.fill_one(shard, values, starts, num_units)

    def fill_one(self, shard: int, values: np.ndarray, starts: np.ndarray, num_units: int) -> None:
        """Write the units of one shard where they belong, see `fill`."""
        rows, lengths, found = self._read(shard, "rows", "lengths", "values")
        if len(found) and not (0 <= found.min() and found.max() < num_units):
            raise ShardError(
                f"{self.path(shard)} holds a unit outside of 0 to {num_units - 1}: the "
                "units and their number must be of the same extractor."
            )
        first, values = 0, np.asarray(values)  # as a plain array, of which parts are taken faster
        for start, length in zip(starts[rows].tolist(), lengths.tolist(), strict=True):
            values[start : start + length] = found[first : first + length]
            first += length

    def _read(self, shard: int, *names: str) -> list[np.ndarray]:
        """Return arrays of a shard's file.

        Raises:
            ShardError: it is damaged.
        """
        try:
            with np.load(self.path(shard)) as content:
                return [content[name] for name in names]
        except (zipfile.BadZipFile, EOFError, KeyError, ValueError) as error:
            raise ShardError(
                f"{self.path(shard)} is damaged ({error}): remove it, and run the same command "
                "again."
            ) from error

    def path(self, shard: int) -> Path:
        """Return the file of a shard, which may not be there yet."""
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
