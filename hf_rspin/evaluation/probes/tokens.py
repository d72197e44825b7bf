"""Phones and words as vectors: which frames belong to each, and their mean in a layer."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hf_rspin.audio import FRAME_SHIFT, SAMPLING_RATE
from hf_rspin.evaluation.evaluation_set import EvaluationSet
from hf_rspin.evaluation.feature_store import FeatureStore
from hf_rspin.evaluation.probes.excerpts import Excerpt, find_excerpts


def phones_of(utterances: EvaluationSet) -> list[Excerpt]:
    """Return all phones of all utterances; silence and phones without length are left out.

    Raises:
        ValueError: an alignment cannot be read.
    """
    return _tokens(utterances, "alignment", utterances.alignments)


def words_of(utterances: EvaluationSet) -> list[Excerpt]:
    """Return all words of all utterances in lower case; see `phones_of`."""
    found = _tokens(utterances, "word_alignment", utterances.word_alignments)
    return [token._replace(label=token.label.casefold()) for token in found]


def _tokens(utterances: EvaluationSet, column: str, alignments: Sequence[str]) -> list[Excerpt]:
    anybody = replace(utterances, speakers=[""] * len(utterances))  # speakers need not be known
    return find_excerpts(anybody, column, alignments)


def most_frequent(tokens: Sequence[Excerpt], count: int) -> list[str]:
    """Return the labels of the most tokens, the most frequent first; ties in alphabetical order."""
    found = Counter(token.label for token in tokens)
    return sorted(found, key=lambda label: (-found[label], label))[:count]


def draw_tokens(tokens: Sequence[Excerpt], per_label: int, seed: int) -> list[Excerpt]:
    """Draw at most some tokens of each label, in their order."""
    generator = np.random.default_rng(seed)
    of: dict[str, list[int]] = {}
    for place in generator.permutation(len(tokens)).tolist():
        of.setdefault(tokens[place].label, []).append(place)
    chosen = (place for places in of.values() for place in places[:per_label])
    return [tokens[place] for place in sorted(chosen)]


def token_frames(token: Excerpt, frames: int, factor: int = 1, middle: bool = False) -> slice:
    """Return the frames of a token, one or more.

    As in Pasad et al. (2023): from floor(start / 0.02) to before ceil(end / 0.02); of phones the
    middle third: floor((number + 1) / 3) frames less on each side.

    Args:
        token: see `Excerpt`.
        frames: of its utterance.
        factor: how many frames of 20 ms one frame is, see `frame_factor`.
        middle: take the middle third.

    Example:
        >>> token_frames(Excerpt(0, "", 0.05, 0.14, "AA", ("SIL", "SIL")), 100)
        slice(2, 7, None)
    """
    rate = SAMPLING_RATE / FRAME_SHIFT / factor  # frames per second
    # rounded: 0.14 s * 50 is a hair more than 7
    first = min(math.floor(round(token.start * rate, 6)), frames - 1)
    stop = frames if token.end == math.inf else math.ceil(round(token.end * rate, 6))
    stop = max(min(stop, frames), first)
    if middle:
        off = (stop - first + 1) // 3
        first, stop = first + off, stop - off
    first = min(first, frames - 1)
    return slice(first, max(stop, first + 1))


def places_of(
    tokens: Sequence[Excerpt], rows: Sequence[int], store: FeatureStore, factor: int, middle: bool
) -> np.ndarray:
    """Return where the tokens are in a store: (tokens, 3) of utterance, first and last + 1 frame.

    Args:
        tokens: of some utterances.
        rows: the place in the store of each of these utterances.
        store: features.
        factor: see `frame_factor`.
        middle: see `token_frames`.
    """
    found = []
    for token in tokens:
        row = rows[token.utterance]
        frames = token_frames(token, store.lengths[row], factor, middle)
        found.append((row, frames.start, frames.stop))
    return np.array(found, dtype=np.int64).reshape(-1, 3)


def pool(store: FeatureStore, layer: int, places: np.ndarray) -> np.ndarray:
    """Return the mean over the frames of each place, (places, dim) float32.

    Args:
        store: features.
        layer: of them.
        places: see `places_of`; every utterance is read once.
    """
    found = np.empty((len(places), store.dim), dtype=np.float32)
    for utterance in np.unique(places[:, 0]):
        mine = np.flatnonzero(places[:, 0] == utterance)
        first, stop = places[mine, 1], places[mine, 2]
        frames = store.layer(int(utterance), layer).numpy()
        sums = np.concatenate([np.zeros((1, store.dim)), np.cumsum(frames, 0, dtype=np.float64)])
        found[mine] = (sums[stop] - sums[first]) / (stop - first)[:, None]
    return found
