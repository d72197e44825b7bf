"""A minute of real work on this machine, from which memory and hours of the steps follow."""

from __future__ import annotations

import contextlib
import gc
import logging
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PrinterCallback, TrainerCallback, set_seed

from hf_rspin.adapting.before_after import BEFORE, build_evaluation
from hf_rspin.adapting.cutting import as_flac, part_row, write_table
from hf_rspin.adapting.pseudo_labels import features_of
from hf_rspin.adapting.recipe import Recipe
from hf_rspin.adapting.spans import Part
from hf_rspin.adapting.training import TrainingSetup
from hf_rspin.audio import SAMPLING_RATE, num_frames
from hf_rspin.cost import peak_gpu_memory, peak_memory
from hf_rspin.data import load_corpus
from hf_rspin.device import release_memory
from hf_rspin.evaluation import EvaluationSet, load_features
from hf_rspin.units import AcousticPieces, FrameLabels, KMeans

MICRO_BATCHES = {"cuda": (192.0, 96.0, 48.0, 24.0, 12.0), "cpu": (24.0,)}  # seconds of a view
MOST_OF_GPU = 0.85
STEPS = 3  # the first is not timed
KMEANS_FRAMES = 20_000  # of a real update, see `fit_kmeans`
TEST_PARTS = 4


@dataclass(frozen=True)
class Rates:
    """What was measured, in seconds on the clock and bytes.

    Attributes:
        batch_seconds: of one view, the largest tried that fits.
        encode: per second of speech, up to the layer of the units.
        fit: k-means, per frame.
        assign: k-means, per frame.
        train: per second of a view, with views and update.
        views: of it, to make the views.
        measure: per second of speech that an evaluation hears.
        flac_bytes: per second of speech.
        memory: peak of the process after each step was tried, by its name.
        gpu_memory: peak of the step in tensors, by its name; empty without GPU.
        heard: conditions of an evaluation.
        layers: hidden states.
        dim: of each.
    """

    batch_seconds: float
    encode: float
    fit: float
    assign: float
    train: float
    views: float
    measure: float
    flac_bytes: float
    memory: dict[str, int]
    gpu_memory: dict[str, int]
    heard: int
    layers: int
    dim: int

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Rates:
        """Read what `to_json` gives."""
        return cls(**{field.name: content[field.name] for field in fields(cls)})


class Calibration:
    """Tries each step on a few parts, in a folder that is removed afterwards.

    Args:
        parts: a minute of speech.
        recipe: of the run.
        setup: of the run; its places are not used.
        batch_seconds: asked for by the user; None tries what fits.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        recipe: Recipe,
        setup: TrainingSetup,
        batch_seconds: float | None = None,
    ) -> None:
        self.parts, self.recipe, self.setup = list(parts), recipe, setup
        most = [size for size in MICRO_BATCHES[setup.device] if size < recipe.update_seconds]
        self.sizes = [batch_seconds] if batch_seconds else most or [recipe.update_seconds]
        self.memory: dict[str, int] = {}
        self.gpu_memory: dict[str, int] = {}

    def run(self) -> Rates:
        """Measure.

        Raises:
            ValueError: not even the smallest batch fits into the memory of the GPU.
        """
        flac_bytes = sum(len(as_flac(p.waveform)) for p in self.parts) / _seconds(self.parts)
        self._note("cut")
        with tempfile.TemporaryDirectory() as folder, _quiet():
            encode, fit, assign = self._labels()
            self._note("labels")
            size, train, views = self._train(Path(folder) / "train")
            self._note("train")
            measure, heard, layers, dim = self._measure(Path(folder) / "measure")
            self._note("measure")
        set_seed(self.setup.seed)
        return Rates(size, encode, fit, assign, train, views, measure, flac_bytes, self.memory,
                     self.gpu_memory, heard, layers, dim)  # fmt: skip

    def _note(self, step: str) -> None:
        self.memory[step] = peak_memory() or 0
        on_gpu = peak_gpu_memory(self.setup.device)
        if on_gpu is not None:
            self.gpu_memory[step] = on_gpu
            torch.cuda.reset_peak_memory_stats()
        forget()

    def _labels(self) -> tuple[float, float, float]:
        """Return seconds of encoding per second of speech, of fitting and naming per frame.

        Pieces take no time beside it, but for building their code, which is done here.
        """
        setup, recipe = self.setup, self.recipe
        features = features_of(setup.encoder, recipe.layer, setup.device, setup.bf16)
        first, *rest = [part.waveform for part in self.parts]
        rest = rest or [first]
        features(first)
        began = time.perf_counter()  # each length for the first time, as in the run
        found = [features(one) for one in rest]
        encode = (time.perf_counter() - began) / (sum(map(len, rest)) / SAMPLING_RATE)
        frames = np.concatenate(found)
        generator = np.random.default_rng(0)
        frames = frames[generator.integers(0, len(frames), KMEANS_FRAMES)]
        frames = frames + 0.01 * generator.standard_normal(frames.shape, dtype=np.float32)
        kmeans = KMeans(min(recipe.num_clusters, KMEANS_FRAMES))
        kmeans.partial_fit(frames)
        began = time.perf_counter()
        kmeans.partial_fit(frames)
        fitted = time.perf_counter()
        kmeans.predict(frames)
        named = time.perf_counter()
        AcousticPieces.train([kmeans.predict(frames)], kmeans.num_clusters + 1, progress=False)
        return encode, (fitted - began) / len(frames), (named - fitted) / len(frames)

    def _train(self, folder: Path) -> tuple[float, float, float]:
        """Return the batch that fits, and seconds of training and of views for a second."""
        for size in self.sizes:
            found = None
            with contextlib.suppress(torch.OutOfMemoryError):
                found = self._train_with(folder / f"{size:g}", size)
            if found is not None and (size == self.sizes[-1] or _has_room()):
                return size, *found
            forget()  # outside of the error, whose traceback holds what did not fit
        raise ValueError(
            f"a batch of {self.sizes[-1]:g} s does not fit into the memory of the GPU: give a "
            "smaller --batch_seconds or a smaller --encoder, or use --device cpu."
        )

    def _train_with(self, folder: Path, size: float) -> tuple[float, float]:
        rows = self._corpus(folder / "corpus", (STEPS + 1) * size)
        generator, many = np.random.default_rng(0), self.recipe.vocab_size
        frames = {row["id"]: num_frames(round(SAMPLING_RATE * row["duration"])) for row in rows}
        labels = {key: generator.integers(0, many, count) for key, count in frames.items()}
        FrameLabels.from_sequences(labels, many).save(folder / "labels")
        setup = TrainingSetup(**{
            **vars(self.setup), "corpus": folder / "corpus", "pseudo_labels": folder / "labels",
            "output_dir": folder / "run", "batch_seconds": size, "workers": 0,
        })  # fmt: skip
        trainer = setup.trainer(
            self.recipe, gradient_accumulation_steps=1, max_steps=STEPS, logging_steps=1,
            save_strategy="no", disable_tqdm=True,
        )  # fmt: skip
        trainer.remove_callback(PrinterCallback)
        clock = _Clock()
        trainer.add_callback(clock)
        trainer.train()
        (first, heard_first), (last, heard_last) = clock.seen[0], clock.seen[-1]
        dataset, began = trainer.train_dataset, time.perf_counter()
        examples = [dataset[1, index] for index in range(min(4, len(dataset)))]
        views = time.perf_counter() - began
        seconds = sum(len(example.clean) for example in examples) / SAMPLING_RATE
        return (last - first) / (heard_last - heard_first), views / seconds

    def _measure(self, folder: Path) -> tuple[float, int, int, int]:
        """Return seconds of an evaluation for a second that it hears, and what it hears."""
        count = max(1, min(TEST_PARTS, len(self.parts) // 3))
        self._corpus(folder / "corpus")
        rows = load_corpus(folder / "corpus")
        test, train = (EvaluationSet.from_corpus(rows.select(part), keep_waveforms=True)
                       for part in (range(count), range(count, len(rows))))  # fmt: skip
        setup = self.setup
        evaluation = build_evaluation(
            folder / "cells", train, test, False, setup.noise, self.recipe.has_telephone
        )
        evaluation.progress = False
        features = load_features(setup.encoder, BEFORE, setup.bf16, setup.device)
        features(self.parts[0].waveform)
        began = time.perf_counter()
        evaluation.run(features)
        seconds = time.perf_counter() - began
        heard = len(evaluation.conditions)
        speech = _seconds(self.parts[count:]) + heard * _seconds(self.parts[:count])
        return seconds / speech, heard, features.num_layers, features.dim

    def _corpus(self, folder: Path, seconds: float = 0.0) -> list[dict[str, Any]]:
        """Write the parts, again and again until they last long enough."""
        folder.mkdir(parents=True)
        rows: list[dict[str, Any]] = []
        for number, part in enumerate(self.parts):
            (folder / f"{number}.flac").write_bytes(as_flac(part.waveform))
        while not rows or sum(row["duration"] for row in rows) < seconds:
            turn = len(rows)
            for number, part in enumerate(self.parts):
                row = part_row(part, f"{number}.flac")
                rows.append(row | {"id": f"{turn + number}"})
        write_table(rows, folder)
        return rows


def _has_room() -> bool:
    """Say whether the GPU has some memory left, which longer runs take."""
    if not torch.cuda.is_available():
        return True
    total = torch.cuda.get_device_properties(0).total_memory
    return torch.cuda.max_memory_reserved() <= MOST_OF_GPU * total


class _Clock(TrainerCallback):
    """Notes when each update was logged, and how many seconds had been trained on."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, float]] = []

    def on_log(self, args, state, control, logs=None, **kwargs) -> None:
        """Note an update."""
        if "loss" in (logs or {}):
            self.seen.append((time.perf_counter(), 3600 * logs["processed_hours"]))


def forget() -> None:
    """Give memory back before the next step."""
    gc.collect()
    release_memory()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Say nothing of what is only tried."""
    log = logging.getLogger("hf_rspin")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


def _seconds(parts: Sequence[Part]) -> float:
    return sum(part.seconds for part in parts)
