"""What a probe is: it learns on clean features, sees features under a condition, gives rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from tqdm.auto import tqdm

from hf_rspin.evaluation.conditions import CLEAN, Distortion
from hf_rspin.evaluation.evaluation_set import EvaluationSet
from hf_rspin.evaluation.feature_store import (
    FeatureStore,
    open_store,
    stream_features,
    write_store,
)
from hf_rspin.evaluation.features import EncoderFeatures


@dataclass(frozen=True)
class Metric:
    """What a number in the long table is, for tables, plots and reports.

    Args:
        name: in the column `metric`.
        title: heading of its table and figure.
        label: short, with the unit: axes and summaries.
        caption: how to read it, and which way is better.
        percent: shown times 100.
        digits: shown after the point.
        conditions: which of them a summary and a figure show.
        plotted: whether a report draws it.
        in_summary: whether the short table of layers has it.
    """

    name: str
    title: str
    label: str
    caption: str
    percent: bool = False
    digits: int = 3
    conditions: Literal["all", "clean"] = "all"
    plotted: bool = True
    in_summary: bool = True

    def text(self, value: float) -> str:
        """Return the value as tables show it, without a unit."""
        return f"{100 * value if self.percent else value:.{self.digits}f}"


@dataclass(frozen=True)
class Row:
    """One number of a probe: a line of the long table, but for encoder, condition and seed.

    Args:
        metric: name of a `Metric` of the probe.
        value: the number.
        layer: 0: encoder input; None: not of a layer.
        low: of a 95 % interval.
        high: of a 95 % interval.
    """

    metric: str
    value: float
    layer: int | None = None
    low: float | None = None
    high: float | None = None


def layer_rows(metric: str, values: Sequence[float]) -> list[Row]:
    """Return a row per layer."""
    return [Row(metric, float(value), layer) for layer, value in enumerate(values)]


@dataclass
class CleanFeatures:
    """The features of clean speech of one encoder, computed when first asked for, then mapped.

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
        return self._store(chosen, "part of train"), list(range(len(chosen)))

    def _store(self, utterances: EvaluationSet, part: str) -> FeatureStore:
        # All that decides the features: another corpus of as many utterances is another key.
        key = f"{self.encoder_features.fingerprint()} {utterances.fingerprint()} {self.dtype}"
        store = open_store(self.folder / part, key)
        if store is not None:
            return store
        if self.bar is not None:
            self.bar.total += len(utterances)
            self.bar.set_postfix_str(f"clean {part} features")
        features = stream_features(
            self.encoder_features, utterances.read, len(utterances), self.num_workers, self.bar
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
            features: (layers, frames, dim) float32.
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

    def measures(self, condition: str) -> bool:
        """Say whether this probe has numbers for a condition."""
        return self.on_clean or condition != CLEAN
