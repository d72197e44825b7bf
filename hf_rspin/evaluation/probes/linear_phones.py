"""How well a linear classifier names the phone of a single frame, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from hf_rspin.data.phone_times import SILENCE
from hf_rspin.evaluation.cells import LAYER_ERRORS
from hf_rspin.evaluation.conditions import CLEAN, Distortion
from hf_rspin.evaluation.evaluation_set import EvaluationSet
from hf_rspin.evaluation.measures.bootstrap import bootstrap_interval
from hf_rspin.evaluation.measures.error_rates import ErrorCounts
from hf_rspin.evaluation.probes.base import CleanFeatures, Metric, Probe, Row
from hf_rspin.evaluation.probes.units import labels_at

NO_PHONE = -1


@dataclass(eq=False)
class LinearPhones(Probe):
    """Accuracy of `FrameClassifier` per layer, with bootstrap intervals over speakers.

    Trained on clean aligned frames of the training split, tested on those of the test split under
    every condition. Frames of silence, or without a phone, are left out of both; a phone that
    training had not counts as an error.

    Args:
        max_utterances: learned from this many aligned ones, spread over the speakers; None: all.
        max_frames: of these, drawn at random.
        num_updates: of each classifier.
        seed: of both choices and of the order of batches.
    """

    name = "linear_phones"
    seeded = True
    metrics = (
        Metric(
            "phone_accuracy", "Linear phone accuracy", "linear phone accuracy, %",
            "How often a linear classifier on a single frame of a layer names its phone, silence "
            "left out; it was trained on clean speech. Higher is better. "
            "results.csv has 95 % bootstrap intervals over speakers.",
            percent=True, digits=1, better="higher", counts="correct",
        ),
    )  # fmt: skip

    max_utterances: int | None = 1000
    max_frames: int = 100_000
    num_updates: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("max_frames", "num_updates"):
            if getattr(self, name) < 1:
                raise ValueError(f"got {name} {getattr(self, name)}; expected 1 or more.")

    def reason_to_skip(self, test: EvaluationSet, train: EvaluationSet | None) -> str | None:
        """Name the missing alignments."""
        if train is None or train.alignments is None or test.alignments is None:
            return (
                "Linear phone classification is left out: it needs a training split, and phone "
                "alignments of both splits."
            )
        for part in (train, test):
            part.check_alignments()
        return None

    def fit(self, features: CleanFeatures, state: Path) -> None:
        """Train a classifier for each layer on frames of clean speech."""
        train, test = features.train, features.test
        aligned = [row for row, alignment in enumerate(train.alignments) if alignment]
        chosen = train.select(aligned).subset(self.max_utterances, self.seed)
        store, rows = features.of_train(chosen)
        named = chosen.phones_of_frames()
        self._phones = sorted({phone for row in named for phone in row} - {SILENCE})
        if not self._phones:
            raise ValueError("the training utterances have no aligned phone; check the alignment.")
        pairs = zip(named, rows, strict=True)
        labels = np.concatenate([labels_at(self._index(n), store.lengths[i]) for n, i in pairs])
        kept = np.flatnonzero(labels != NO_PHONE)
        kept = np.random.default_rng(self.seed).permutation(kept)[: self.max_frames]
        self._classifiers = []
        for layer in range(store.num_layers):
            frames = torch.cat([store.layer(row, layer) for row in rows])[kept]
            classifier = FrameClassifier(len(self._phones), self.seed, self.num_updates)
            self._classifiers.append(classifier.fit(frames, torch.from_numpy(labels[kept])))
        self.updates = self.num_updates * len(self._classifiers)
        self._truth = [self._index(row) for row in test.phones_of_frames()]
        self._ids = test.ids
        self._speakers = test.groups()

    def begin(self, condition: Distortion) -> None:
        """Forget the counts."""
        self._is_clean = condition.name == CLEAN
        self._of_phones = np.zeros(len(self._phones) + 1, dtype=np.int64)
        self._errors: list[list[int]] = []
        self._frames: list[int] = []

    def update(self, index: int, features: Tensor) -> None:
        """Count the errors of each layer in one utterance."""
        truth = torch.from_numpy(labels_at(self._truth[index], features.shape[1]))
        kept = truth != NO_PHONE
        pairs = zip(self._classifiers, features, strict=True)
        found = [(classifier.predict(x[kept]) != truth[kept]).sum() for classifier, x in pairs]
        self._errors.append([int(errors) for errors in found])
        self._frames.append(int(kept.sum()))
        self._of_phones += np.bincount(truth[kept].numpy(), minlength=len(self._of_phones))

    def rows(self) -> list[Row]:
        """Return the accuracy of each layer.

        Raises:
            ValueError: no frame of the test utterances has a phone.
        """
        frames = np.array(self._frames)
        if frames.sum() == 0:
            raise ValueError("the test utterances have no aligned phone; check the alignment.")
        heard = frames > 0  # a resample of speakers without frames would have no rate
        groups = self._speakers and [s for s, h in zip(self._speakers, heard, strict=True) if h]
        rows = []
        for layer, errors in enumerate(np.array(self._errors)[heard].T):
            right = ErrorCounts(frames[heard] - errors, frames[heard])
            found = bootstrap_interval(right, groups)
            rows.append(Row.of_interval("phone_accuracy", found, layer))
        return rows

    def details(self) -> dict[str, Any]:
        """Return wrong frames per layer and utterance, frames and speakers, for paired tests.

        Of clean speech also the share of the most frequent phone: the accuracy of knowing nothing.
        """
        found = {
            "ids": self._ids, LAYER_ERRORS: np.array(self._errors).T.tolist(),
            "lengths": self._frames, "groups": self._speakers,
        }  # fmt: skip
        share = float(self._of_phones.max() / self._of_phones.sum())
        return found | ({"majority": share} if self._is_clean else {})

    def _index(self, names: Sequence[str]) -> np.ndarray:
        """Return the class of each frame; a phone that training had not is one more class."""
        index = {SILENCE: NO_PHONE} | {phone: k for k, phone in enumerate(self._phones)}
        return np.array([index.get(name, len(self._phones)) for name in names], dtype=np.int64)


class FrameClassifier:
    """Multinomial logistic regression on standardised frames, by Adam from zero weights.

    Args:
        num_classes: number of phones.
        seed: of the order of frames.
        num_updates: batches; the learning rate falls to zero (cosine).
        batch_frames: frames per batch.
    """

    def __init__(
        self,
        num_classes: int,
        seed: int = 0,
        num_updates: int = 1000,
        batch_frames: int = 1024,
        learning_rate: float = 3e-3,
    ) -> None:
        self.num_classes, self.seed = num_classes, seed
        self.num_updates, self.batch_frames = num_updates, batch_frames
        self.learning_rate = learning_rate

    def fit(self, frames: Tensor, labels: Tensor) -> FrameClassifier:
        """Train on frames (frames, dim), float32, and their classes (frames,), int64."""
        deviation, self._mean = torch.std_mean(frames, dim=0, correction=0)
        self._deviation = torch.where(deviation > 0, deviation, 1.0)
        weight = torch.zeros(frames.shape[1], self.num_classes, requires_grad=True)
        bias = torch.zeros(self.num_classes, requires_grad=True)
        optimizer = torch.optim.Adam([weight, bias], lr=self.learning_rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.num_updates)
        generator = torch.Generator().manual_seed(self.seed)
        order = torch.empty(0, dtype=torch.int64)
        for _ in range(self.num_updates):
            while len(order) < min(self.batch_frames, len(frames)):
                order = torch.cat([order, torch.randperm(len(frames), generator=generator)])
            batch, order = order[: self.batch_frames], order[self.batch_frames :]
            scores = torch.addmm(bias, self._standardized(frames[batch]), weight)
            optimizer.zero_grad()
            cross_entropy(scores, labels[batch]).backward()
            optimizer.step()
            schedule.step()
        self._weight, self._bias = weight.detach(), bias.detach()
        return self

    def predict(self, frames: Tensor) -> Tensor:
        """Return the class of each of some frames (frames, dim), int64 (frames,)."""
        return torch.addmm(self._bias, self._standardized(frames), self._weight).argmax(dim=1)

    def _standardized(self, frames: Tensor) -> Tensor:
        return (frames - self._mean) / self._deviation
