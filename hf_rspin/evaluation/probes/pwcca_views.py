"""The views that PWCCA compares layers with: phones, words, word vectors, log-mel bands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hf_rspin.evaluation.evaluation_set import EvaluationSet
from hf_rspin.evaluation.feature_store import FeatureStore
from hf_rspin.evaluation.measures.cross_validated_pwcca import NUM_FOLDS
from hf_rspin.evaluation.probes.acoustic_view import acoustic_view
from hf_rspin.evaluation.probes.embedding_table import read_embeddings
from hf_rspin.evaluation.probes.excerpts import Excerpt
from hf_rspin.evaluation.probes.frame_rate import frame_factor
from hf_rspin.evaluation.probes.tokens import (
    draw_tokens,
    most_frequent,
    phones_of,
    places_of,
    words_of,
)

PER_PHONE, PER_WORD, NUM_WORDS = 200, 15, 500


class View(NamedTuple):
    """What layers are compared with.

    Attributes:
        places: where the samples are, (samples, 3), see `places_of`.
        targets: the view of each sample, (samples, dim).
        strata: label of each, dealt evenly to the splits; None: none.
    """

    places: np.ndarray
    targets: np.ndarray
    strata: np.ndarray | None


def phone_view(test: EvaluationSet, store: FeatureStore, seed: int) -> View:
    """Return one-hot phones of at most 200 tokens of each: the middle third of their frames."""
    return _one_hot(draw_tokens(phones_of(test), PER_PHONE, seed), test, store, middle=True)


def word_view(test: EvaluationSet, store: FeatureStore, seed: int) -> View:
    """Return one-hot words, at most the 500 most frequent, of at most 15 tokens of each.

    Fewer words where that leaves less than ten tokens per word: a split is scored on a tenth of
    the tokens, which must be as many as the words.
    """
    tokens = words_of(test)
    words = _with_ten(most_frequent(tokens, NUM_WORDS), tokens)
    return _one_hot(_drawn(tokens, words, seed), test, store, middle=False)


def embedding_view(test: EvaluationSet, store: FeatureStore, seed: int, table: str) -> View:
    """Return the vectors of words: of the 500 most frequent that a table has, 15 tokens each.

    Args:
        test: with word alignments.
        store: its features.
        seed: of the tokens.
        table: see `read_embeddings`.

    Raises:
        ValueError: the table has none of the words.
    """
    tokens = words_of(test)
    vectors = read_embeddings(table, {token.label for token in tokens})
    words = most_frequent([token for token in tokens if token.label in vectors], NUM_WORDS)
    tokens = _drawn(tokens, words, seed)
    if not tokens:
        raise ValueError(
            f"none of the words of the test utterances is in {table}; expected lines of a word and "
            "its numbers, or an .npz of vectors by word, in the same case as the word times."
        )
    places = places_of(tokens, range(len(test)), store, frame_factor(test, store), middle=False)
    targets = np.array([vectors[token.label] for token in tokens]).reshape(len(tokens), -1)
    return View(places, targets, np.array([token.label for token in tokens]))


def log_mel_view(
    test: EvaluationSet, store: FeatureStore, seed: int, num_utterances: int, max_frames: int
) -> View:
    """Return the log-mel bands of frames drawn from some utterances; see `acoustic_view`."""
    factor, ids = frame_factor(test, store), set(test.subset(num_utterances, seed).ids)
    chosen = [index for index, name in enumerate(test.ids) if name in ids]
    lengths = [store.lengths[index] for index in chosen]
    drawn = np.sort(np.random.default_rng(seed).permutation(sum(lengths))[:max_frames])
    utterances = np.repeat(chosen, lengths)[drawn]
    frames = np.concatenate([np.arange(length) for length in lengths])[drawn]
    targets = [
        acoustic_view(test.read(i), store.lengths[i], factor)[frames[utterances == i]]
        for i in chosen
    ]
    places = np.column_stack([utterances, frames, frames + 1])
    return View(places, np.concatenate(targets), None)


def too_few(view: View, dim: int) -> str | None:
    """Say why a view has too few samples for layers of `dim` dimensions; None where it has not."""
    count, other = view.targets.shape
    if other == 0:
        return "no label occurs often enough (a word ten times): give more speech."
    fold, smaller, larger = count // NUM_FOLDS, min(dim, other), max(dim, other)
    if smaller > 1 and fold >= smaller and count - 2 * (fold + 1) > larger:
        return None
    needed = max(NUM_FOLDS * smaller, NUM_FOLDS * larger // 8 + 4)
    return (
        f"{count} samples for {dim} and {other} dimensions; ten splits need about {needed}, and "
        "two labels or more: give more speech."
    )


def _one_hot(
    tokens: Sequence[Excerpt], test: EvaluationSet, store: FeatureStore, middle: bool
) -> View:
    places = places_of(tokens, range(len(test)), store, frame_factor(test, store), middle)
    labels = np.array([token.label for token in tokens])
    names, index = np.unique(labels, return_inverse=True)
    return View(places, np.eye(len(names), dtype=np.float32)[index], labels)


def _drawn(tokens: Sequence[Excerpt], words: Sequence[str], seed: int) -> list[Excerpt]:
    kept = set(words)
    return draw_tokens([token for token in tokens if token.label in kept], PER_WORD, seed)


def _with_ten(words: Sequence[str], tokens: Sequence[Excerpt]) -> list[str]:
    """Return as many of the words, the most frequent first, as have ten tokens on average."""
    counts = Counter(token.label for token in tokens)
    drawn = np.cumsum([min(counts[word], PER_WORD) for word in words])
    enough = np.flatnonzero(drawn >= NUM_FOLDS * np.arange(1, len(words) + 1))
    return list(words[: enough[-1] + 1]) if len(enough) else []
