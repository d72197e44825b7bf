"""Takes of a spoken word found by a take of another speaker: ranked retrieval in every layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hf_rspin.evaluation.conditions import Distortion
from hf_rspin.evaluation.feature_store import FeatureStore
from hf_rspin.evaluation.measures.bootstrap import bootstrap_interval
from hf_rspin.evaluation.measures.error_rates import ErrorCounts
from hf_rspin.evaluation.measures.query_by_example import match_scores, rank_takes
from hf_rspin.evaluation.probes.base import CleanFeatures, Metric, Row
from hf_rspin.evaluation.probes.excerpts import cut
from hf_rspin.evaluation.probes.frame_rate import frame_factor
from hf_rspin.evaluation.probes.spoken_words import SpokenWordProbe, spelling


@dataclass(eq=False)
class WordRetrieval(SpokenWordProbe):
    """How well a spoken word ranks other speakers' takes of it above their other words.

    Takes are words cut out of utterances, at most one per word and speaker; each is a query, and
    all takes of other speakers are candidates, ranked by `match_score`.

    Args:
        takes_per_word: takes of each word, of different speakers.
        num_words: see `SpokenWordProbe`, as for the others.
    """

    name = "retrieval"
    metrics = (
        Metric(
            "retrieval_map", "Spoken words retrieved across speakers",
            "retrieval of words, mean average precision, %",
            "Mean average precision of ranking words of other speakers by their match with a "
            "spoken word. Higher is better. results.csv has 95 % bootstrap intervals over the "
            "speakers of the spoken words; what is searched stays the same.",
            percent=True, digits=1, better="higher",
        ),
        Metric(
            "retrieval_precision_at_1", "First match of a spoken word",
            "first match is the word, %",
            "How often the best match of a spoken word, among words of other speakers, is the same "
            "word. Higher is better.",
            percent=True, digits=1, plotted=False, in_summary=False, better="higher",
        ),
    )  # fmt: skip

    takes_per_word: int = 6

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_least("takes_per_word", 2)

    def fit(self, features: CleanFeatures, state: Path) -> None:
        """Choose the takes; nothing is learned."""
        self._test = features.test
        takes = self.takes_of_words(self.words(features.test))
        drawn = self.choose(takes, self.takes_per_word, np.random.default_rng(self.seed))
        self._takes = [take for found in drawn for take in found]

    def begin(self, condition: Distortion) -> None:
        """Forget the numbers."""
        self._rows: list[Row] = []
        self._details: dict[str, float] = {}

    def finish(self, store: FeatureStore) -> None:
        """Rank the takes in each layer; one layer is in memory at a time."""
        words = [spelling(take) for take in self._takes]
        speakers = [take.speaker for take in self._takes]
        factor = frame_factor(self._test, store)
        for layer in range(store.num_layers):
            takes = cut(store, layer, self._takes, factor)
            found = rank_takes(match_scores(takes, takes, self.distance), words, speakers)
            asked = [speakers[place] for place in found.queries]
            self._rows += [
                _row("retrieval_map", found.average_precisions, layer, asked),
                _row("retrieval_precision_at_1", found.first_is_right, layer, asked),
            ]
            self._details = {"chance": found.chance, "queries": found.num_queries}

    def rows(self) -> list[Row]:
        """Return both numbers of each layer."""
        return self._rows

    def details(self) -> dict[str, Any]:
        """Return the mean share of the same word among the candidates, and the takes."""
        return self._details


def _row(metric: str, values: Sequence[float], layer: int, speakers: Sequence[str]) -> Row:
    """Return the mean over queries with its interval over their speakers."""
    counts = ErrorCounts(np.array(values, dtype=np.float64), np.ones(len(values), dtype=np.int64))
    found = bootstrap_interval(counts, speakers)
    return Row.of_interval(metric, found, layer)
