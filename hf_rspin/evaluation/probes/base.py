"""What a probe is: it learns on clean features, sees features under a condition, gives rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from hf_rspin.audio import SAMPLING_RATE
from hf_rspin.evaluation.cells import Cell, Metric, Row, layer_rows
from hf_rspin.evaluation.conditions import CLEAN, Distortion
from hf_rspin.evaluation.evaluation_set import EvaluationSet
from hf_rspin.evaluation.feature_store import FeatureStore, open_store, write_store
from hf_rspin.evaluation.feature_stream import WaveformReader, stream_features
from hf_rspin.evaluation.features import EncoderFeatures

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Drawing:
    """A figure of a report.

    Args:
        title: its heading.
        figure: of matplotlib.
        caption: what is drawn and how to read it.
    """

    title: str
    figure: Figure
    caption: str


@dataclass
class CleanFeatures:
    """The features of clean speech of one encoder, computed when first asked for, then read.

    Args:
        encoder_features: waveform (samples,) -> (layers, frames, dim).
        test: utterances to measure on.
        train: others to learn on, or None.
        folder: for the features.
        dtype: float16 halves the space on disk, float32 keeps every bit.
        num_workers: threads.
        bar: moved on by one per utterance.
    """

    encoder_features: EncoderFeatures
    test: EvaluationSet
    train: EvaluationSet | None
    folder: Path
    dtype: torch.dtype = torch.float16
    num_workers: int = 1
    bar: tqdm | None = None
    _samples: list[int] = field(default_factory=list, repr=False)

    @cached_property
    def test_store(self) -> FeatureStore:
        """Features of the test utterances."""
        return self._store(self.test, "test")

    @cached_property
    def train_store(self) -> FeatureStore:
        """Features of the training utterances."""
        return self._store(self.train, "train")

    def to_learn_from(self, count: int | None, seed: int) -> tuple[FeatureStore, list[int]]:
        """Return features for what learns without labels, and which of their utterances to take.

        Training utterances, or test utterances where there are none.

        Args:
            count: how many utterances, spread over the speakers; None: all.
            seed: of the choice.
        """
        everything = self.test if self.train is None else self.train
        chosen = everything.subset(count, seed)
        if self.train is not None:
            return self.of_train(chosen)
        return self.test_store, _places(chosen, everything)

    def of_train(self, chosen: EvaluationSet) -> tuple[FeatureStore, list[int]]:
        """Return features of some training utterances, and the places of these among them.

        Args:
            chosen: some of `train`, in its order.
        """
        if len(chosen) == len(self.train) or "train_store" in self.__dict__:
            return self.train_store, _places(chosen, self.train)
        # nothing else needed all of them so far
        part = f"part of train {chosen.fingerprint()}"  # several probes may ask for the same
        return self._store(chosen, part), list(range(len(chosen)))

    def counted(self, read: WaveformReader) -> WaveformReader:
        """Return `read`, which then counts what it gives to the encoder."""

        def counting(index: int) -> np.ndarray:
            waveform = read(index)
            self._samples.append(len(waveform))  # from several threads
            return waveform

        return counting

    def take_hours(self) -> float:
        """Return the hours of speech that were encoded since the last call."""
        counts, self._samples = self._samples, []
        return sum(counts) / SAMPLING_RATE / 3600

    def key(self, utterances: EvaluationSet) -> str:
        """Return all that decides the features: another corpus of as many is another key."""
        return f"{self.encoder_features.fingerprint()} {utterances.fingerprint()} {self.dtype}"

    def _store(self, utterances: EvaluationSet, part: str) -> FeatureStore:
        key = self.key(utterances)
        store = open_store(self.folder / part, key)
        if store is not None:
            return store
        if self.bar is not None:
            self.bar.total += len(utterances)
            self.bar.set_postfix_str(f"clean {part} features")
        features = stream_features(
            self.encoder_features, self.counted(utterances.read), len(utterances),
            self.num_workers, self.bar,
        )
        return write_store(self.folder / part, features, key, self.dtype)


def _places(chosen: EvaluationSet, everything: EvaluationSet) -> list[int]:
    names = set(chosen.ids)
    return [i for i, name in enumerate(everything.ids) if name in names]


@dataclass(eq=False)
class Probe(ABC):
    """An evaluator: `fit` once per encoder; then per condition `begin`, `update` ..., `rows`.

    To add one: a file with a subclass in this folder, and its entry in `probes/__init__.py`. Its
    settings are the fields of a dataclass (`eq=False`: a probe is itself), among them `seed`. Every
    number that it gives is described by a `Metric`, from which tables, plots and reports are made.

    Attributes:
        name: its entry, and the column `probe` of the long table.
        metrics: of the rows that it gives.
        on_clean: whether the clean condition is measured too.
        seeded: whether `seed` decides what is learned, so that several of them are worth a run.
        version: raised when the same settings come to mean other numbers, so that no table holds
            numbers of before and after.
        learns_unlabelled: whether `fit` learns units without labels, on the test utterances where
            there are no others.
        updates: that `fit` made, the search for a learning rate among them; 0 where it found what
            an earlier run had learned.

    Example:
        >>> class Loudness(Probe):
        ...     name = "loudness"
        ...     metrics = (Metric("norm", "Size", "mean norm", "Mean L2 norm of frames."),)
        ...     def begin(self, condition):
        ...         self.norms = []
        ...     def update(self, index, features):
        ...         self.norms.append(features.norm(dim=-1).mean(1))
        ...     def rows(self):
        ...         return layer_rows("norm", torch.stack(self.norms).mean(0))
    """

    name: ClassVar[str]
    metrics: ClassVar[tuple[Metric, ...]]
    on_clean: ClassVar[bool] = True
    seeded: ClassVar[bool] = False
    version: ClassVar[int] = 1
    learns_unlabelled: ClassVar[bool] = False
    updates = 0  # not a field: no setting

    @property
    def learns_from_test(self) -> bool:
        """Whether the test utterances decide what `fit` learns, and keeps in its folder."""
        return False

    def settings(self) -> dict[str, Any]:
        """Return what decides its numbers: the fields of the dataclass; a change: new cells."""
        return asdict(self)

    def reason_to_skip(self, test: EvaluationSet, train: EvaluationSet | None) -> str | None:
        """Say in a sentence why this corpus cannot be measured so; None where it can.

        Raises:
            ValueError: the corpus has what is needed, but it is wrong.
        """
        return None

    def remark(self, test: EvaluationSet) -> str | None:
        """Say in a sentence which of its numbers this corpus has no labels for."""
        return None

    def fit(self, features: CleanFeatures, state: Path) -> None:  # noqa: B027, most need none
        """Learn from clean features before any condition.

        Args:
            features: of clean speech.
            state: a folder (maybe not there yet) of this probe on this encoder, for what took long
                to learn; what a stopped run left there may be used again.
        """

    def begin(self, condition: Distortion) -> None:  # noqa: B027
        """Forget the last condition; `condition` is what comes."""

    def update(self, index: int, features: Tensor) -> None:  # noqa: B027
        """See one test utterance under the condition.

        Args:
            index: place of the utterance in the test set.
            features: (layers, frames, dim) float32; the next utterance may overwrite it.
        """

    def finish(self, store: FeatureStore) -> None:  # noqa: B027
        """See the features of all test utterances under the condition, after the last `update`.

        For what compares utterances with each other; memory holds no more than what is read.
        """

    @abstractmethod
    def rows(self) -> list[Row]:
        """Return the numbers of the condition."""

    def details(self) -> dict[str, Any]:
        """Return more about the condition, as JSON values: errors per utterance, for instance."""
        return {}

    @classmethod
    def draw(cls, cells: Sequence[Cell]) -> list[Drawing]:
        """Return figures of finished cells of this probe, beside those drawn of its metrics.

        They are made of `details` alone, so that a report needs no encoder.
        """
        return []

    def measures(self, condition: str) -> bool:
        """Say whether this probe has numbers for a condition."""
        return self.on_clean or condition != CLEAN


__all__ = [
    "CleanFeatures",
    "Drawing",
    "Metric",
    "Probe",
    "Row",
    "layer_rows",
]
