"""Compute ABX errors of phones on the bundled sample, ours beside those of fastabx, cell by cell.

    pip install ".[abx]"                                   # Python 3.12 or newer
    python training_scripts/benchmark.py abx --layer 5

All triples of some speakers, within and across speakers, from the same frames of one layer. Prints
the errors, the largest difference in a cell, and CPU seconds after a first run on a few tokens.
"""

from __future__ import annotations

import csv
import math
import time
from dataclasses import dataclass

import numpy as np
import torch

from hf_rspin.audio import read_audio
from hf_rspin.data.phone_times import SILENCE, parse_alignment
from hf_rspin.evaluation.measures.abx import average_cells, cell_errors
from hf_rspin.evaluation.measures.abx_cells import abx_cells
from hf_rspin.evaluation.probes.excerpts import Excerpt, frames_of
from hf_rspin.evaluation.table import markdown_table
from hf_rspin.models.folders import fetch
from hf_rspin.models.loading import load_encoder
from hf_rspin.resources import sample_folder
from hf_rspin.training.cli import exit_on_user_error, parse_arguments
from hf_rspin.units.features import layer_features
from hf_rspin.utils import option

Errors = dict[tuple[str, ...], float]  # (phone of A, phone of B, speaker[, speaker of X]) -> error


@dataclass
class AbxArguments:
    """What to measure."""

    encoder: str = option("bundled", "folder, Hub id or bundled")
    layer: int = option(5, "hidden state")
    speakers: int = option(4, "speakers of the sample's test split")


def our_errors(
    tokens: list[np.ndarray], phones: list[str], speakers: list[str], across: bool
) -> tuple[float, Errors]:
    """Return the error, see `abx_error`, and that of every cell, from all triples."""
    cells = abx_cells(phones, speakers, across=across, max_items=None, max_cells=None)
    errors = cell_errors(tokens, cells)
    keys = [(*cell.pair, *(cell.by if across else (cell.by,))) for cell in cells]
    return average_cells(cells, errors), dict(zip(keys, errors.tolist(), strict=True))


def fastabx_errors(
    tokens: list[np.ndarray], phones: list[str], speakers: list[str], across: bool
) -> Errors:
    """Return the error of every cell as fastabx has it.

    Raises:
        ImportError: it is not installed.
    """
    import polars
    from fastabx import Dataset, InMemoryAccessor, Score, Task

    ends = np.cumsum([len(token) for token in tokens]).tolist()
    places = dict(enumerate(zip([0, *ends[:-1]], ends, strict=True)))
    frames = torch.from_numpy(np.concatenate(tokens).astype(np.float32))
    labels = polars.DataFrame({"phone": phones, "speaker": speakers})
    data = Dataset(labels, InMemoryAccessor(places, frames, torch.device("cpu")))
    condition = {"across" if across else "by": ["speaker"]}
    found = Score(Task(data, on="phone", **condition), "angular", progress=False).cells
    names = ["phone", "phone_b", "speaker", *["speaker_x"] * across]
    return {tuple(row[:-1]): row[-1] for row in found.select(*names, "score").iter_rows()}


def sample_tokens(
    encoder: str, layer: int, count: int
) -> tuple[list[np.ndarray], list[str], list[str]]:
    """Return (frames, dim) of every phone of some speakers of the sample, phones and speakers."""
    features = layer_features(load_encoder(fetch(encoder)), layer)
    with open(sample_folder() / "metadata.csv", encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "test"]
    names = sorted({row["speaker"] for row in rows})[:count]
    found = []
    for row in (row for row in rows if row["speaker"] in names):
        frames = features(read_audio(sample_folder() / row["file_name"]))
        for start, end, phone in parse_alignment(row["alignment"], math.inf):
            if phone != SILENCE and end > start:
                place = frames_of(Excerpt(0, "", start, end, phone, ("", "")), len(frames))
                found.append((frames[place], phone, row["speaker"]))
    return tuple(map(list, zip(*found, strict=True)))


def compare(tokens: list[np.ndarray], phones: list[str], speakers: list[str]) -> list[list[str]]:
    """Return rows of a table: errors, the largest difference, cells, seconds of both."""
    rows = []
    for across in (False, True):
        start = time.process_time()
        error, ours = our_errors(tokens, phones, speakers, across)
        middle = time.process_time()
        theirs = fastabx_errors(tokens, phones, speakers, across)
        end = time.process_time()
        if ours.keys() != theirs.keys():
            raise ValueError(f"got {len(ours)} cells, and {len(theirs)} of fastabx.")
        gaps = [abs(ours[key] - theirs[key]) for key in ours]
        rows.append([
            "across speakers" if across else "within speakers", str(len(ours)),
            f"{100 * error:.3f}", f"{100 * np.mean([*ours.values()]):.3f}",
            f"{100 * np.mean([*theirs.values()]):.3f}", f"{100 * max(gaps):.3f}",
            f"{middle - start:.2f}", f"{end - middle:.2f}",
        ])  # fmt: skip
    return rows


def main() -> None:
    """Compare, and print the table."""
    (given,) = parse_arguments(AbxArguments, intro=__doc__)
    torch.set_num_threads(1)
    with exit_on_user_error(("ImportError", "ValueError", "OSError")):
        tokens, phones, speakers = sample_tokens(given.encoder, given.layer, given.speakers)
        compare(tokens[:40], ["ab"[k % 2] for k in range(40)], ["st"[k // 20] for k in range(40)])
        rows = compare(tokens, phones, speakers)
    print(f"{len(tokens)} tokens of {given.speakers} speakers, layer {given.layer}")
    print(markdown_table(
        ["", "cells", "error, %", "mean of cells, ours, %", "fastabx, %",
         "largest difference in a cell, %", "CPU s, ours", "CPU s, fastabx"], rows,
    ))  # fmt: skip
