"""What each layer knows of phones, words, spectra and word vectors: PWCCA with these views."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from hf_rspin.evaluation.evaluation_set import EvaluationSet
from hf_rspin.evaluation.feature_store import FeatureStore
from hf_rspin.evaluation.measures.bootstrap import Interval
from hf_rspin.evaluation.measures.cross_validated_pwcca import PROTOCOLS, cross_validated_pwcca
from hf_rspin.evaluation.probes.base import CleanFeatures, Metric, Probe, Row
from hf_rspin.evaluation.probes.embedding_table import file_hash, read_embeddings
from hf_rspin.evaluation.probes.pwcca_views import (
    View,
    embedding_view,
    log_mel_view,
    phone_view,
    too_few,
    word_view,
)
from hf_rspin.evaluation.probes.tokens import pool

logger = logging.getLogger(__name__)

VIEWS = ("phones", "words", "acoustic", "embeddings")
_HOW = (
    "Projection-weighted canonical correlation of vectors of a layer with {}, on samples that the "
    "projections were not fitted on; 1: all that the view tells is in the layer, linearly."
)


@dataclass(eq=False)
class PwccaProbe(Probe):
    """Layers against views by `cross_validated_pwcca` (Pasad et al. 2021, 2023).

    Phones and words are one-hot, of at most 200 tokens per phone (mean of the middle third) and 15
    of each of the 500 most frequent words (mean of the word), fewer words where that leaves less
    than ten tokens per word. Acoustic: 80 log-mel bands of single frames. Embeddings: vectors of
    the words. Samples are drawn once, the same for every condition and encoder of a frame rate.

    Args:
        views: of phones, words, acoustic and embeddings; those that the corpus has no labels for
            are left out.
        protocol: "published": three of ten splits; "full": all ten, all epsilons.
        embeddings: a table of word vectors, see `read_embeddings`.
        num_utterances: for the acoustic view, spread over the speakers.
        max_frames: of these, drawn at random.
        seed: of samples and splits.
    """

    name = "pwcca"
    metrics = (
        Metric("pwcca_phones", "Phones in each layer: PWCCA", "PWCCA with phones",
               _HOW.format("one-hot phones"), conditions="clean", better="higher"),
        Metric("pwcca_words", "Words in each layer: PWCCA", "PWCCA with words",
               _HOW.format("one-hot words"), conditions="clean", better="higher"),
        Metric("pwcca_acoustic", "Spectra in each layer: PWCCA", "PWCCA with log-mel",
               _HOW.format("80 log-mel bands of the clean audio"), conditions="clean",
               layer_of="pwcca_phones"),
        Metric("pwcca_embeddings", "Word vectors in each layer: PWCCA", "PWCCA with word vectors",
               _HOW.format("vectors of the words"), conditions="clean", better="higher"),
    )  # fmt: skip

    views: tuple[str, ...] = VIEWS
    protocol: str = "published"
    embeddings: str | None = None
    num_utterances: int = 500
    max_frames: int = 50_000
    seed: int = 0

    def __post_init__(self) -> None:
        self.views = tuple(self.views)
        if not self.views or not set(self.views) <= set(VIEWS):
            raise ValueError(f"got views {list(self.views)}; expected some of {list(VIEWS)}.")
        if self.protocol not in PROTOCOLS:
            raise ValueError(f"got protocol {self.protocol!r}; expected {' or '.join(PROTOCOLS)}.")
        for name in ("num_utterances", "max_frames"):
            if getattr(self, name) < 1:
                raise ValueError(f"got {name} {getattr(self, name)}; expected 1 or more.")

    def settings(self) -> dict[str, Any]:
        """Return what decides its numbers; of a table its content, wherever it lies."""
        return super().settings() | {"embeddings": self._table_hash}

    @cached_property
    def _table_hash(self) -> str | None:
        return None if self.embeddings is None else file_hash(self.embeddings)

    def reason_to_skip(self, test: EvaluationSet, train: EvaluationSet | None) -> str | None:
        """Name what is missing for every view."""
        test.check_alignments()
        if self.embeddings is not None:
            read_embeddings(self.embeddings, ())
        lacking = self._lacking(test)
        if len(lacking) < len(self.views):
            return None
        return f"PWCCA is left out: {'; '.join(lacking.values())}."

    def remark(self, test: EvaluationSet) -> str | None:
        """Name the views that are left out; that no table of vectors is given needs no remark."""
        lacking = self._lacking(test)
        told = [text for view, text in lacking.items() if view != "embeddings" or self.embeddings]
        return f"Of PWCCA some views are left out: {'; '.join(told)}." if told else None

    def _lacking(self, test: EvaluationSet) -> dict[str, str]:
        """Return why views cannot be had."""
        found = {}
        if "phones" in self.views and not any(test.alignments or ()):
            found["phones"] = "phones need a phone alignment"
        no_words = not any(test.word_alignments or ())
        if "words" in self.views and no_words:
            found["words"] = "words need word times"
        if "embeddings" in self.views and (no_words or self.embeddings is None):
            found["embeddings"] = "word vectors need word times and a table of vectors"
        return found

    def fit(self, features: CleanFeatures, state: Path) -> None:
        """Draw the samples of every view."""
        self._quiet = features.bar is None or features.bar.disable
        test, store = features.test, features.test_store
        speakers = test.speakers or [None] * len(test)
        # of unknown speakers, utterances are resampled
        self._speakers = [who or name for who, name in zip(speakers, test.ids, strict=True)]
        self._views, self._left_out = {}, {}
        lacking = self._lacking(test)
        for name in self.views:
            if name in lacking:
                continue
            view = self._view(name, test, store)
            problem = too_few(view, store.dim)
            if problem:
                self._left_out[name] = problem
                logger.warning("PWCCA with %s is left out: %s", name, problem)
            else:
                self._views[name] = view

    def _view(self, name: str, test: EvaluationSet, store: FeatureStore) -> View:
        if name == "phones":
            return phone_view(test, store, self.seed)
        if name == "words":
            return word_view(test, store, self.seed)
        if name == "embeddings":
            return embedding_view(test, store, self.seed, self.embeddings)
        return log_mel_view(test, store, self.seed, self.num_utterances, self.max_frames)

    def finish(self, store: FeatureStore) -> None:
        """Compare every layer with every view."""
        layers = store.num_layers
        with tqdm(total=layers * len(self._views), desc="PWCCA", unit="layer", leave=False,
                  disable=self._quiet) as bar:  # fmt: skip
            self._scores = {name: [] for name in self._views}
            for (name, view), layer in product(self._views.items(), range(layers)):
                bar.set_postfix_str(name)
                self._scores[name].append(self._score(pool(store, layer, view.places), view))
                bar.update()

    def _score(self, vectors: np.ndarray, view: View) -> Interval:
        if not np.ptp(vectors, axis=0).any():
            return Interval(*(math.nan,) * 3)  # a layer that collapsed
        groups = [self._speakers[row] for row in view.places[:, 0]]
        found = cross_validated_pwcca(
            vectors, view.targets, view.strata, self.protocol, self.seed, groups
        )
        return found.interval

    def rows(self) -> list[Row]:
        """Return the score of each layer with each view, with its interval over speakers."""
        return [
            Row.of_interval(f"pwcca_{name}", found, layer)
            for name, scores in self._scores.items()
            for layer, found in enumerate(scores)
        ]

    def details(self) -> dict[str, Any]:
        """Return samples and dimensions of each view, and why views were left out."""
        views = self._views.items()
        shapes = {name: list(view.targets.shape) for name, view in views}
        return {"samples_and_dimensions": shapes, "left_out": self._left_out}
