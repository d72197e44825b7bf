"""Waveforms -> units and acoustic pieces with their times, as columns."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from hf_rspin.audio import FRAME_SHIFT, SAMPLING_RATE
from hf_rspin.units.extract import units_of
from hf_rspin.units.tokenizer import UnitTokenizer
from hf_rspin.units.unit_sequence import UnitSequence

SECONDS = "in the audio file, float64 (segments,)"


class UnitColumns:
    """Units of every frame, and segments of units and of pieces with start and end.

    Args:
        tokenizer: makes them.
    """

    main_column = "units"
    bytes_per_second = 1_000.0

    def __init__(self, tokenizer: UnitTokenizer) -> None:
        self.tokenizer = tokenizer
        self.pads = tokenizer.extractor.pads
        # a local path says less than the weights do
        self.provenance: dict[str, Any] = {
            name: value for name, value in tokenizer.extractor.provenance.items()
            if name not in ("model", "source")
        }  # fmt: skip
        self.provenance |= {"units": tokenizer.units, "layer": tokenizer.layer}
        if tokenizer.model is not None:
            self.provenance |= model_provenance(tokenizer)
        if tokenizer.pieces is not None:
            self.provenance["pieces"] = _hash_of_pieces(tokenizer)
        self.about = {
            "title": "Units of speech",
            "kind": "units",
            "num_units": tokenizer.extractor.num_units,
            "num_pieces": None if tokenizer.pieces is None else tokenizer.pieces.num_labels,
            "frame_seconds": FRAME_SHIFT / SAMPLING_RATE,
            "columns": self._described(),
        }

    def __call__(
        self, waveforms: Sequence[np.ndarray], starts: Sequence[float]
    ) -> list[dict[str, np.ndarray]]:
        """Return the columns of waveforms (samples,) that begin at `starts` seconds."""
        found = units_of(self.tokenizer.extractor, list(waveforms))
        return [self._columns(units, start) for units, start in zip(found, starts, strict=True)]

    def _columns(self, units: np.ndarray, start: float) -> dict[str, np.ndarray]:
        columns = {"units": units.astype(np.int32)}
        columns |= _segments("unit", UnitSequence.from_frames(units), start)
        if self.tokenizer.pieces is not None:
            pieces = UnitSequence.from_frames(units, self.tokenizer.pieces)
            columns["pieces"] = pieces.frame_ids.astype(np.int32)
            columns |= _segments("piece", pieces, start)
        return columns

    def _described(self) -> dict[str, str]:
        columns = dict(ROW_COLUMNS)
        columns["units"] = "unit of each frame of 20 ms, int32 (frames,)"
        columns |= _described_segments("unit", "units without repetitions")
        if self.tokenizer.pieces is not None:
            columns["pieces"] = "acoustic piece of each frame, int32 (frames,); -100: none"
            columns |= _described_segments("piece", "acoustic pieces")
        return columns


ROW_COLUMNS = {
    "id": "of the utterance; a part of a long recording has its place in its id",
    "path": "of the audio, where it lies in a file",
    "start": "seconds, where the row begins in the file; 0 for whole files",
    "duration": "seconds",
}


def model_provenance(tokenizer: UnitTokenizer) -> dict[str, Any]:
    """Return what k-means units do not say of themselves: their encoder and how it reads."""
    from hf_rspin.utils import tensor_hash

    return {
        "encoder": tensor_hash(sorted(tokenizer.model.state_dict().items())),
        "normalize": tokenizer.normalize,
        "bf16": tokenizer.bf16,
    }


def _segments(name: str, found: UnitSequence, start: float) -> dict[str, np.ndarray]:
    return {
        f"{name}_ids": found.ids.astype(np.int32),
        f"{name}_starts": start + found.starts,
        f"{name}_ends": start + found.ends,
    }


def _described_segments(name: str, what: str) -> dict[str, str]:
    return {
        f"{name}_ids": f"{what}, int32 (segments,)",
        f"{name}_starts": f"where each begins, in seconds {SECONDS}",
        f"{name}_ends": f"where each ends, in seconds {SECONDS}",
    }


def _hash_of_pieces(tokenizer: UnitTokenizer) -> str:
    pieces = tokenizer.pieces
    content = [pieces.units.tolist(), pieces.merges.tolist(), pieces.used.tolist()]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]
