"""Whether sentences that mean the same have similar vectors: spoken STS on a corpus of pairs."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import datasets
import numpy as np

from hf_rspin.data.corpus import load_corpus
from hf_rspin.evaluation.conditions import CLEAN
from hf_rspin.evaluation.evaluation_set import EvaluationSet
from hf_rspin.evaluation.feature_stream import stream_features
from hf_rspin.evaluation.measures.bootstrap import Interval, sample_key
from hf_rspin.evaluation.measures.spoken_sts import pair_similarities, spoken_sts
from hf_rspin.evaluation.probes.base import CleanFeatures, Metric, Probe, Row

COLUMNS = ("pair", "sentence", "score")
RESAMPLES = 1000


@dataclass(eq=False)
class SpokenSts(Probe):
    """Spearman's correlation of cosines of utterance means with human scores, per layer.

    `spoken_sts` (Merkx et al. 2021; Pasad et al. 2023): the cosine of a pair is the mean over all
    pairs of speakers. The corpus is one of its own, whatever the others are measured on.

    Args:
        corpus: folder of recordings with the columns `pair` (any name), `sentence` (1 or 2) and
            `score` (of people, the same in all rows of a pair); each sentence may be spoken by
            several speakers, and `speaker` may say which.
    """

    name = "sts"
    metrics = (
        Metric(
            "sts", "Meaning in each layer: spoken STS", "spoken STS, rank correlation",
            "Spearman's correlation of how similar the mean vectors of two spoken sentences are "
            "with how similar people find their meaning. Higher: more of the meaning.",
            conditions="clean", better="higher",
        ),
    )  # fmt: skip

    corpus: str | None = None

    def settings(self) -> dict[str, Any]:
        """Return what decides its numbers: what is in the folder, wherever it lies."""
        return {"corpus": None if self.corpus is None else self._pairs.fingerprint}

    def measures(self, condition: str) -> bool:
        """Say whether a condition is measured: only clean speech."""
        return condition == CLEAN

    def reason_to_skip(self, test: EvaluationSet, train: EvaluationSet | None) -> str | None:
        """Name the missing folder.

        Raises:
            ValueError: the folder holds no such pairs.
        """
        if self.corpus is None:
            return (
                "Spoken STS is left out: it needs a folder of its own, of recorded sentence pairs "
                "with human scores."
            )
        _ = self._pairs
        return None

    @cached_property
    def _pairs(self) -> SentencePairs:
        return SentencePairs.load(self.corpus)

    def fit(self, features: CleanFeatures, state: Path) -> None:
        """Encode the recordings; keep the mean over frames of each."""
        utterances = self._pairs.utterances
        if features.bar is not None:
            features.bar.total += len(utterances)
            features.bar.set_postfix_str("spoken STS")
        found = stream_features(
            features.encoder_features, utterances.read, len(utterances), features.num_workers,
            features.bar,
        )  # fmt: skip
        self._means = np.stack([values.mean(1).numpy() for values in found], axis=1)

    def rows(self) -> list[Row]:
        """Return the correlation of each layer, with 95 % bootstrap intervals over pairs."""
        pairs, rows = self._pairs, []
        for place, layer in enumerate(self._means):
            if not np.ptp(layer, axis=0).any():
                rows.append(Row("sts", float("nan"), place))  # a layer that collapsed
                continue
            sides = [[layer[i] for i in side] for side in (pairs.first, pairs.second)]
            value = spoken_sts(*sides, pairs.scores)
            found = rank_interval(pair_similarities(*sides), np.array(pairs.scores), value)
            rows.append(Row.of_interval("sts", found, place))
        return rows

    def details(self) -> dict[str, Any]:
        """Return how many pairs and recordings there were."""
        pairs = self._pairs
        return {
            "corpus": Path(self.corpus).name, "pairs": len(pairs.scores),
            "recordings": len(pairs.utterances), "pairs_left_out": pairs.left_out,
        }  # fmt: skip


@dataclass
class SentencePairs:
    """Pairs of sentences, each spoken once or more.

    Args:
        utterances: the recordings.
        first: which of them say the first sentence of each pair.
        second: likewise the second one.
        scores: of people, one per pair.
        left_out: pairs of which one sentence has no recording that can be used.
    """

    utterances: EvaluationSet
    first: list[list[int]]
    second: list[list[int]]
    scores: list[float]
    left_out: int

    @classmethod
    def load(cls, folder: str | Path) -> SentencePairs:
        """Read a folder; see `SpokenSts`.

        Raises:
            ValueError: columns are missing or hold something else, or there are too few pairs.
        """
        corpus = load_corpus(folder)
        missing = [name for name in COLUMNS if name not in corpus.column_names]
        if missing:
            raise ValueError(
                f"{folder} has no column {', '.join(missing)}; spoken STS needs pair, sentence (1 "
                "or 2) and score of each recording."
            )
        if "duration" in corpus.column_names:  # the order of `EvaluationSet.from_corpus`
            order = np.argsort(np.asarray(corpus["duration"], dtype=float), kind="stable")
            corpus = corpus.select(order.tolist())
        sides, scores = _sides(corpus, folder)
        whole = [pair for pair, (first, second) in sides.items() if first and second]
        if len({scores[pair] for pair in whole}) < 2:
            raise ValueError(
                f"{folder} has {len(whole)} pairs of two recorded sentences, with scores that are "
                "all alike; expected two pairs or more, of different scores."
            )
        first, second = ([sides[pair][k] for pair in whole] for k in (0, 1))
        utterances = EvaluationSet.from_corpus(corpus)
        return cls(
            utterances, first, second, [scores[pair] for pair in whole], len(sides) - len(whole)
        )

    @property
    def fingerprint(self) -> str:
        """Return a hash of recordings, pairs and scores."""
        content = [self.utterances.fingerprint(), self.first, self.second, self.scores]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def rank_interval(
    first: np.ndarray, second: np.ndarray, value: float, seed: int = 0
) -> Interval:
    """Lay a 95 % bootstrap interval around Spearman's correlation of (pairs,) with (pairs,)."""
    from scipy.stats import rankdata

    draws = np.random.default_rng(seed).integers(0, len(first), (RESAMPLES, len(first)))
    ranks = [rankdata(values[draws], axis=1) for values in (first, second)]
    ranks = [values - values.mean(1, keepdims=True) for values in ranks]
    norms = [np.linalg.norm(values, axis=1) for values in ranks]
    varies = norms[0] * norms[1] > 0  # two pairs or more were drawn
    found = np.full(RESAMPLES, np.nan)
    np.divide((ranks[0] * ranks[1]).sum(1), norms[0] * norms[1], out=found, where=varies)
    if not varies.any():
        return Interval(value, float("nan"), float("nan"))
    low, high = np.nanpercentile(found, (2.5, 97.5))
    of = sample_key(range(len(first)), seed)
    return Interval(value, float(low), float(high), found, len(first), of)


def _sides(
    corpus: datasets.Dataset, folder: str | Path
) -> tuple[dict[str, tuple[list[int], list[int]]], dict[str, float]]:
    """Return the rows of both sentences per pair, and the score of each pair."""
    sides: dict[str, tuple[list[int], list[int]]] = {}
    scores: dict[str, float] = {}
    rows = zip(*(corpus[name] for name in COLUMNS), strict=True)
    for row, (pair, sentence, score) in enumerate(rows):
        side = {"1": 0, "1.0": 0, "2": 1, "2.0": 1}.get(str(sentence).strip())
        if side is None:
            raise ValueError(f"{folder}: pair {pair} has a sentence {sentence!r}; expected 1 or 2.")
        try:
            value = float(score)
        except (TypeError, ValueError):
            value = float("nan")
        if not np.isfinite(value) or scores.setdefault(str(pair), value) != value:
            raise ValueError(
                f"{folder}: pair {pair} has a score {score!r}; expected one number per pair."
            )
        sides.setdefault(str(pair), ([], []))[side].append(row)
    return sides, scores
