"""Spoken words sought by an example of another speaker: term-weighted value of every layer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hf_rspin.evaluation.conditions import Distortion
from hf_rspin.evaluation.evaluation_set import EvaluationSet
from hf_rspin.evaluation.feature_store import FeatureStore
from hf_rspin.evaluation.measures.bootstrap import Interval, sample_key
from hf_rspin.evaluation.measures.query_by_example import detection_scores
from hf_rspin.evaluation.measures.term_detection import maximum_term_weighted_value
from hf_rspin.evaluation.probes.base import CleanFeatures, Metric, Row
from hf_rspin.evaluation.probes.excerpts import Excerpt, cut
from hf_rspin.evaluation.probes.frame_rate import frame_factor
from hf_rspin.evaluation.probes.spoken_words import SpokenWordProbe, spelling

NUM_RESAMPLES = 500


class Search(NamedTuple):
    """Which examples are sought where.

    Attributes:
        queries: the examples.
        documents: places of utterances.
        relevant: (queries, documents), bool: the utterance has the word.
        trials: (queries, documents), bool: the utterance is of another speaker.
        words: number of the word of each query, (queries,); the layer is chosen on even ones.
    """

    queries: list[Excerpt]
    documents: list[int]
    relevant: np.ndarray
    trials: np.ndarray
    words: np.ndarray


@dataclass(eq=False)
class QueryByExample(SpokenWordProbe):
    """Maximum term-weighted value (QUESST 2014) of words sought in utterances of other speakers.

    A query is a word cut out of an utterance; features are matched as in SUPERB, see
    `detection_scores`. Queries and documents are both heard under the condition. The layer is
    chosen on half of the words (the first, where several are equal); the other half is reported.
    An inflected form of a word is another word.

    Args:
        queries_per_word: examples of each word, of different speakers.
        max_documents: utterances searched; the first hold the words, the rest anything.
        num_words: half of them choose the layer; see `SpokenWordProbe`, as for the others.
    """

    name = "qbe"
    least_words = 4
    metrics = (
        Metric(
            "qbe_mtwv", "Query by example: spoken words found", "query by example, MTWV",
            "Maximum term-weighted value (QUESST 2014) of words sought by an example in utterances "
            "of other speakers; the layer was chosen on other words. 1 is perfect, 0 finds "
            "nothing: higher is better. 95 % bootstrap interval over words.",
            better="higher",
        ),
        Metric(
            "qbe_mtwv_layer", "Query by example", "query by example, MTWV of each layer",
            "Maximum term-weighted value of the same words in every layer. Higher is better.",
            better="higher",
        ),
    )  # fmt: skip

    queries_per_word: int = 2
    max_documents: int = 300

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_least("queries_per_word", 1)
        self._check_least("max_documents", 2)

    def fit(self, features: CleanFeatures, state: Path) -> None:
        """Choose queries and documents; nothing is learned."""
        self._test = features.test
        self._search = self._choose(features.test)

    def begin(self, condition: Distortion) -> None:
        """Forget the numbers."""
        self._rows: list[Row] = []
        self._details: dict[str, Any] = {}

    def finish(self, store: FeatureStore) -> None:
        """Seek all words in each layer; one layer is in memory at a time."""
        factor, search, scores = frame_factor(self._test, store), self._search, []
        for layer in range(store.num_layers):
            queries = cut(store, layer, search.queries, factor)
            documents = [store.layer(i, layer).numpy() for i in search.documents]
            scores.append(detection_scores(queries, documents, self.distance, search.trials))
        dev = search.words % 2 == 0
        values = np.array([self._value(found, dev) for found in scores])
        best = 0 if np.isnan(values).all() else int(np.nanargmax(values))
        found = self._interval(scores[best], ~dev)
        layers = [Row("qbe_mtwv_layer", self._value(x, ~dev), i) for i, x in enumerate(scores)]
        words = list(dict.fromkeys(spelling(query) for query in search.queries))
        self._rows = [Row.of_interval("qbe_mtwv", found), *layers]
        self._details = {
            "layer": best, "words_to_choose_layer": words[::2], "words": words[1::2],
            "documents": len(search.documents),
        }  # fmt: skip

    def rows(self) -> list[Row]:
        """Return the value of the chosen layer, and of each."""
        return self._rows

    def details(self) -> dict[str, Any]:
        """Return the layer and the words."""
        return self._details

    def _choose(self, test: EvaluationSet) -> Search:
        """Draw words, examples of each, and documents."""
        generator = np.random.default_rng(self.seed)
        words = self.words(test)
        drawn = self.choose(self.takes_of_words(words), self.queries_per_word, generator)
        queries = [query for found in drawn for query in found]
        said: list[set[str]] = [set() for _ in range(len(test))]
        for word in words:
            said[word.utterance].add(spelling(word))
        heard = [i for i, found in enumerate(said) if found]
        order = [heard[i] for i in generator.permutation(len(heard))]
        first = [  # a document with each word, by another speaker
            next(i for i in order if spelling(q) in said[i] and test.speakers[i] != q.speaker)
            for q in queries
        ]
        documents = sorted(list(dict.fromkeys([*first, *order]))[: self.max_documents])
        relevant = [[spelling(query) in said[i] for i in documents] for query in queries]
        trials = [[query.speaker != test.speakers[i] for i in documents] for query in queries]
        numbers = np.repeat(np.arange(len(drawn)), [len(found) for found in drawn])
        return Search(queries, documents, np.array(relevant), np.array(trials), numbers)

    def _value(self, scores: np.ndarray, rows: np.ndarray) -> float:
        relevant, trials = self._search.relevant[rows], self._search.trials[rows]
        if not (relevant & trials).any():  # fewer documents than words
            return math.nan
        return maximum_term_weighted_value(scores[rows], relevant, trials=trials).value

    def _interval(self, scores: np.ndarray, rows: np.ndarray) -> Interval:
        """Return the value with its 2.5 and 97.5 % percentiles over draws of words."""
        generator, words = np.random.default_rng(self.seed), np.unique(self._search.words[rows])
        of = [np.flatnonzero(self._search.words == word) for word in words]
        draws = generator.integers(len(words), size=(NUM_RESAMPLES, len(words)))
        found = [self._value(scores, np.concatenate([of[k] for k in draw])) for draw in draws]
        value = self._value(scores, rows)
        if np.isnan(found).all():
            return Interval(value, math.nan, math.nan)
        low, high = np.nanpercentile(found, [2.5, 97.5])
        of = sample_key([spelling(q) for q in self._search.queries], self.seed)
        return Interval(value, float(low), float(high), np.array(found), len(words), of)
