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

from hf_rspin.units.frame_labels import FrameLabels
from hf_rspin.utils import atomic, write_json

logger = logging.getLogger(__name__)

_PLAN = "plan.json"
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
        corpus = hashlib.sha256(json.dumps([ids, list(map(float, durations))]).encode())
        plan = {
            "provenance": dict(provenance),
            "corpus": corpus.hexdigest(),
            "shard_seconds": shard_seconds,
        }
        self._start(plan)

    @property
    def num_done(self) -> int:
        """Number of utterances in finished shards."""
        missing = sum(len(rows) for _, rows in self.missing())
        return sum(map(len, self.rows)) - missing

    def missing(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield number and corpus rows of each shard that has no result yet."""
        for shard, rows in enumerate(self.rows):
            if not self._path(shard).is_file():
                yield shard, rows

    def write(self, shard: int, units: Mapping[str, np.ndarray]) -> None:
        """Store the units (frames,) by utterance id of one shard, whole or not at all."""
        num_units = 1 + max((int(u.max()) for u in units.values()), default=0)
        labels = FrameLabels.from_sequences(units, num_units)
        with atomic(self._path(shard)) as temporary, open(temporary, "wb") as file:
            np.savez(file, ids=np.array(labels.ids, dtype=str), values=labels.values,
                     offsets=labels.offsets)  # fmt: skip

    def read_all(self) -> dict[str, np.ndarray]:
        """Return the units (frames,) by utterance id of all finished shards."""
        units = {}
        for shard in range(len(self.rows)):
            with np.load(self._path(shard)) as content:
                values, offsets = content["values"], content["offsets"]
                for index, name in enumerate(content["ids"].tolist()):
                    units[name] = values[offsets[index] : offsets[index + 1]]
        return units

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
            logger.warning(
                "The partial results in %s are of another corpus or model: starting again.",
                self.folder,
            )
            shutil.rmtree(self.folder)
        write_json(file, plan, indent=2)
