"""How much each layer says about who speaks: a linear probe on utterance means."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from torch import Tensor

from hf_rspin.evaluation.conditions import Distortion
from hf_rspin.evaluation.evaluation_set import EvaluationSet
from hf_rspin.evaluation.measures.bootstrap import bootstrap_interval
from hf_rspin.evaluation.measures.error_rates import ErrorCounts
from hf_rspin.evaluation.probes.base import CleanFeatures, Metric, Probe, Row
from hf_rspin.evaluation.splits import split_within_speakers

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline


@dataclass(eq=False)
class SpeakerIdentification(Probe):
    """Accuracy of `SpeakerProbe` per layer, trained on clean speech, with bootstrap intervals.

    Args:
        learn_from: "test": part of each speaker's test utterances (of a corpus whose training
            speakers are others); "train": the training utterances, of the same speakers.
        seed: of the split.
    """

    name = "speakers"
    metrics = (
        Metric(
            "speaker_accuracy", "Speakers: who speaks, read from each layer", "speaker accuracy, %",
            "How often a linear probe on the mean of an utterance names its speaker; it was "
            "trained on clean speech of the same speakers. Lower: less of the speaker is left in "
            "that layer. Under distortions the probe also fails because the features moved.",
            percent=True, digits=1, conditions="clean",
        ),
    )  # fmt: skip

    learn_from: Literal["test", "train"] = "test"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.learn_from not in ("test", "train"):
            raise ValueError(f"got learn_from {self.learn_from!r}; expected test or train.")

    def reason_to_skip(self, test: EvaluationSet, train: EvaluationSet | None) -> str | None:
        """Name the missing speakers."""
        learned = test if self.learn_from == "test" else train
        if test.speakers is None or learned is None or learned.speakers is None:
            return "Speaker identification is left out: the recordings have no speaker names."
        try:
            if self.learn_from == "test":
                split_within_speakers(test.speakers, seed=self.seed)
            elif len(set(train.speakers) - {None}) < 2:
                raise ValueError("the training utterances have one speaker only.")
        except ValueError as error:
            return f"Speaker identification is left out: {error}"
        return None

    def fit(self, features: CleanFeatures, state: Path) -> None:
        """Train on the means of clean utterances."""
        speakers = features.test.speakers
        if self.learn_from == "test":
            known, self._tested = split_within_speakers(speakers, seed=self.seed)
            means, names = features.test_store.means()[known], [speakers[i] for i in known]
        else:
            self._tested = _known(speakers)
            known = _known(features.train.speakers)
            means = features.train_store.means()[known]
            names = [features.train.speakers[i] for i in known]
        self._probe = SpeakerProbe().fit(means, names)
        self._truth = [speakers[i] for i in self._tested]

    def begin(self, condition: Distortion) -> None:
        """Forget the means."""
        self._means: list[np.ndarray] = []

    def update(self, index: int, features: Tensor) -> None:
        """Keep the mean of one utterance."""
        self._means.append(features.mean(1).numpy())

    def rows(self) -> list[Row]:
        """Return the accuracy of each layer."""
        rows = []
        right = self._probe.correct(np.stack(self._means)[self._tested], self._truth)
        for layer, hits in enumerate(right):
            found = bootstrap_interval(ErrorCounts(hits.astype(int), np.ones(len(hits), int)))
            rows.append(Row("speaker_accuracy", found.value, layer, found.low, found.high))
        return rows


def _known(speakers: Sequence[str | None]) -> np.ndarray:
    """Return the indices of utterances whose speaker is known."""
    return np.array([i for i, speaker in enumerate(speakers) if speaker is not None])


class SpeakerProbe:
    """One multinomial logistic regression per layer on standardised utterance means.

    SUPERB trains Linear, mean over time, Linear with a learned layer sum; a convex probe per layer
    needs no tuning, and shows where in the encoder the speaker is (Figure 5).

    Args:
        regularization: inverse L2 strength `C` of scikit-learn.
    """

    def __init__(self, regularization: float = 1.0, max_iterations: int = 200) -> None:
        self.regularization, self.max_iterations = regularization, max_iterations
        self._layers: list[Pipeline] = []

    def fit(self, means: np.ndarray, speakers: Sequence[str]) -> SpeakerProbe:
        """Train on utterance means (utterances, layers, dim)."""
        self._layers = [self._fit_layer(layer, speakers) for layer in means.swapaxes(0, 1)]
        return self

    def correct(self, means: np.ndarray, speakers: Sequence[str]) -> list[np.ndarray]:
        """Return per layer which utterances (utterances, layers, dim) got their speaker, bool."""
        truth = np.asarray(speakers)
        layers = zip(self._layers, means.swapaxes(0, 1), strict=True)
        return [probe.predict(layer) == truth for probe, layer in layers]

    def accuracy(self, means: np.ndarray, speakers: Sequence[str]) -> list[float]:
        """Return per layer the share of utterances (utterances, layers, dim) that got theirs."""
        return [float(hits.mean()) for hits in self.correct(means, speakers)]

    def _fit_layer(self, means: np.ndarray, speakers: Sequence[str]) -> Pipeline:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        probe = make_pipeline(
            StandardScaler(),
            LogisticRegression(C=self.regularization, max_iter=self.max_iterations, tol=1e-3),
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return probe.fit(means.astype(np.float32), np.asarray(speakers))
