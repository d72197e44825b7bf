"""What clusters of phone and word vectors of each layer know about phones and words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hf_rspin.evaluation.conditions import CLEAN
from hf_rspin.evaluation.evaluation_set import EvaluationSet
from hf_rspin.evaluation.measures.bootstrap import Interval
from hf_rspin.evaluation.measures.mutual_information import (
    PHONE_BATCH,
    WORD_BATCH,
    layer_mutual_information,
)
from hf_rspin.evaluation.measures.unit_intervals import unit_intervals
from hf_rspin.evaluation.probes.base import CleanFeatures, Metric, Probe, Row
from hf_rspin.evaluation.probes.excerpts import Excerpt
from hf_rspin.evaluation.probes.frame_rate import frame_factor
from hf_rspin.evaluation.probes.tokens import (
    draw_tokens,
    most_frequent,
    phones_of,
    places_of,
    pool,
    words_of,
)

TOKENS_PER_CLUSTER = 4  # at least: a token that is a cluster tells everything and means nothing
NUM_WORDS = 500
# At most so many tokens of each label, to fit on and to measure on: Pasad et al.'s.
PER_PHONE, PER_WORD = (3000, 200), (600, 15)


class Kind(NamedTuple):
    """Phones or words.

    Attributes:
        train: tokens that the clusters are fitted on.
        test: others.
        clusters: how many.
        batch: tokens per iteration.
        middle: whether a token is the middle third of its frames.
    """

    train: list[Excerpt]
    test: list[Excerpt]
    clusters: int
    batch: int
    middle: bool


@dataclass(eq=False)
class LayerInformation(Probe):
    """I(label; cluster) / H(label) per layer, of phones and of the 500 most frequent words.

    `layer_mutual_information` (Pasad et al. 2021, 2023): clusters are fitted on clean tokens of
    the training split where it has the alignments, else of half of the test utterances; the
    figure is that of test tokens (of the other half).

    Args:
        phone_clusters: at most; a quarter of the tokens where that is less.
        word_clusters: likewise.
        max_utterances: of the training split, spread over the speakers; None: all.
        seed: of clusters, tokens and halves.
    """

    name = "mi"
    seeded = True
    metrics = (
        Metric(
            "mi_phones", "Phones in each layer: mutual information", "phone information (MI)",
            "Share of what there is to know about the phone that the cluster of a phone's vector "
            "tells, on tokens that the clusters were not fitted on. It grows with the number of "
            "clusters and with few tokens: compare on the same corpus. Higher is better.",
            conditions="clean", better="higher",
        ),
        Metric(
            "mi_words", "Words in each layer: mutual information", "word information (MI)",
            "Share of what there is to know about the word that the cluster of a word's vector "
            "tells, on tokens that the clusters were not fitted on. It grows with the number of "
            "clusters and with few tokens: compare on the same corpus. Higher is better.",
            conditions="clean", better="higher",
        ),
    )  # fmt: skip

    phone_clusters: int = 500
    word_clusters: int = 5000
    max_utterances: int | None = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("phone_clusters", "word_clusters"):
            if getattr(self, name) < 2:
                raise ValueError(f"got {name} {getattr(self, name)}; expected 2 or more.")

    def measures(self, condition: str) -> bool:
        """Say whether a condition is measured: only clean speech."""
        return condition == CLEAN

    def reason_to_skip(self, test: EvaluationSet, train: EvaluationSet | None) -> str | None:
        """Name what is missing; remember what `remark` says of the tokens."""
        for part in (test, train):
            if part is not None:
                part.check_alignments()
        self._remarks: list[str] = []
        kinds = {name: self._kind(name, test, train) for name in ("phones", "words")}
        for name, kind in kinds.items():
            wanted = self._wanted(name)
            if kind is None:
                self._remarks.append(f"{name} are left out: too few have times")
            elif kind.clusters < wanted:
                tokens = f"{len(kind.train)} tokens to fit on"
                self._remarks.append(f"{kind.clusters} clusters of {name}, not {wanted}: {tokens}")
        if not any(kinds.values()):
            return (
                "Mutual information of layers is left out: it needs phones or words with times, "
                "more than there are here."
            )
        return None

    def remark(self, test: EvaluationSet) -> str | None:
        """Say where there are fewer clusters than asked for."""
        if not self._remarks:
            return None
        return f"Mutual information of layers: {'; '.join(self._remarks)}."

    def fit(self, features: CleanFeatures, state: Path) -> None:
        """Measure every layer: features of the training split may not be there later."""
        test = features.test
        self._names = test.groups() or test.ids  # by utterance
        self._kinds = {}
        self._found = {}
        for name in ("phones", "words"):
            kind = self._kind(name, features.test, features.train)
            if kind is not None:
                self._kinds[name] = kind
                self._found[name] = self._measure(kind, _has(features.train, name), features)

    def _measure(self, kind: Kind, from_train: bool, features: CleanFeatures) -> list[Interval]:
        test, store = features.test, features.test_store
        fitted_store, rows = store, list(range(len(test)))
        if from_train:
            chosen = features.train.subset(self.max_utterances, self.seed)
            fitted_store, rows = features.of_train(chosen)
        factor = frame_factor(test, store)
        fitted = places_of(kind.train, rows, fitted_store, factor, kind.middle)
        measured = places_of(kind.test, range(len(test)), store, factor, kind.middle)
        train_labels, labels = ([token.label for token in part] for part in (kind.train, kind.test))
        found = []
        for layer in range(store.num_layers):
            clusters = layer_mutual_information(
                pool(fitted_store, layer, fitted), train_labels, pool(store, layer, measured),
                labels, kind.clusters, self.seed, kind.batch,
            ).clusters  # fmt: skip
            found.append(_interval(kind.test, clusters, self._names))
        return found

    def rows(self) -> list[Row]:
        """Return the shares of each layer, with intervals over speakers."""
        return [
            Row.of_interval(f"mi_{name}", one, layer)
            for name, values in self._found.items() for layer, one in enumerate(values)
        ]  # fmt: skip

    def details(self) -> dict[str, Any]:
        """Return how many clusters and tokens there were."""
        return {
            name: {"clusters": kind.clusters, "train": len(kind.train), "test": len(kind.test)}
            for name, kind in self._kinds.items()
        }

    def _wanted(self, name: str) -> int:
        return self.phone_clusters if name == "phones" else self.word_clusters

    def _kind(self, name: str, test: EvaluationSet, train: EvaluationSet | None) -> Kind | None:
        """Return the tokens of phones or words; None where they are too few."""
        if not _has(test, name):
            return None
        tokens_of = phones_of if name == "phones" else words_of
        per_train, per_test = PER_PHONE if name == "phones" else PER_WORD
        measured = tokens_of(test)
        if _has(train, name):
            fitted = tokens_of(train.subset(self.max_utterances, self.seed))
        else:
            fitted, measured = _halves(measured, len(test), self.seed)
        if name == "words":
            kept = set(most_frequent(fitted, NUM_WORDS))
            fitted, measured = (
                [token for token in tokens if token.label in kept] for tokens in (fitted, measured)
            )
        fitted = draw_tokens(fitted, per_train, self.seed)
        measured = draw_tokens(measured, per_test, self.seed)
        clusters = min(self._wanted(name), len(fitted) // TOKENS_PER_CLUSTER)
        batch = PHONE_BATCH if name == "phones" else WORD_BATCH
        if clusters < 2 or not measured:
            return None
        return Kind(fitted, measured, clusters, batch, middle=name == "phones")


def _interval(tokens: Sequence[Excerpt], clusters: Sequence[int], names: Sequence[str]) -> Interval:
    """Return I(label; cluster) / H(label) with its interval over the speakers of the tokens."""
    labels = np.unique([token.label for token in tokens], return_inverse=True)[1]
    owners = [names[token.utterance] for token in tokens]
    found = unit_intervals(labels[:, None], np.array(clusters)[:, None], owners)
    return found["pnmi"]


def _has(utterances: EvaluationSet | None, name: str) -> bool:
    if utterances is None:
        return False
    return any((utterances.alignments if name == "phones" else utterances.word_alignments) or ())


def _halves(
    tokens: Sequence[Excerpt], utterances: int, seed: int
) -> tuple[list[Excerpt], list[Excerpt]]:
    """Divide tokens by their utterances."""
    first = set(np.random.default_rng(seed).permutation(utterances)[: utterances // 2].tolist())
    inside = [token for token in tokens if token.utterance in first]
    return inside, [token for token in tokens if token.utterance not in first]
