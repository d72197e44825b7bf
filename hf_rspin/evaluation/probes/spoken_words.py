"""What probes of spoken words share: which words of a corpus are sought, and takes of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hf_rspin.evaluation.evaluation_set import EvaluationSet
from hf_rspin.evaluation.measures.query_by_example import Distance
from hf_rspin.evaluation.probes.base import Probe
from hf_rspin.evaluation.probes.excerpts import Excerpt, find_excerpts


@dataclass(eq=False)
class SpokenWordProbe(Probe):
    """A probe that seeks words of some length that several speakers say.

    Words are told apart by their spelling without case; the last word of an utterance needs an
    end: silence after it.

    Args:
        num_words: words drawn.
        min_letters: of a word; fewer for scripts that write more with each.
        min_speakers: who say it; two or more.
        min_seconds: of a take.
        distance: of frames, see `match_score`.
        seed: of all draws.

    Attributes:
        least_words: that a corpus must have.
    """

    least_words: ClassVar[int] = 2

    num_words: int = 50
    min_letters: int = 5
    min_speakers: int = 3
    min_seconds: float = 0.25
    distance: Distance = "exp_cosine"
    seed: int = 0

    def __post_init__(self) -> None:
        leasts = {"num_words": self.least_words, "min_letters": 1, "min_speakers": 2}
        for name, least in leasts.items():
            self._check_least(name, least)
        if self.distance not in ("exp_cosine", "cosine"):
            raise ValueError(f"got distance {self.distance!r}; expected exp_cosine or cosine.")

    def _check_least(self, name: str, least: int) -> None:
        if getattr(self, name) < least:
            raise ValueError(f"got {name} {getattr(self, name)}; expected {least} or more.")

    def reason_to_skip(self, test: EvaluationSet, train: EvaluationSet | None) -> str | None:
        """Name what is missing."""
        title = self.metrics[0].title
        if test.word_alignments is None or test.speakers is None:
            return f"Left out: {title}; it needs word times and speakers."
        count = len(self.takes_of_words(self.words(test)))
        if count < self.least_words:
            return (
                f"Left out: {title}; {count} words of {self.min_letters} letters or more are "
                f"spoken by {self.min_speakers} speakers, it needs {self.least_words}: give more "
                "speech, or a lower --min_letters."
            )
        return None

    def words(self, test: EvaluationSet) -> list[Excerpt]:
        """Return all words of all utterances of known speakers."""
        return find_excerpts(test, "word_alignment", test.word_alignments)

    def takes_of_words(self, words: Sequence[Excerpt]) -> dict[str, list[Excerpt]]:
        """Return the takes of every word that is long enough and spoken by enough speakers."""
        found: dict[str, list[Excerpt]] = {}
        for take in words:
            letters, seconds = spelling(take), take.end - take.start
            if len(letters) >= self.min_letters and self.min_seconds <= seconds < math.inf:
                found.setdefault(letters, []).append(take)
        return {
            word: found[word]
            for word in sorted(found)
            if len({take.speaker for take in found[word]}) >= self.min_speakers
        }

    def choose(
        self, takes: dict[str, list[Excerpt]], count: int, generator: np.random.Generator
    ) -> list[list[Excerpt]]:
        """Draw words, and some takes of each, of different speakers."""
        words = [list(takes)[i] for i in generator.permutation(len(takes))[: self.num_words]]
        return [_draw_takes(takes[word], count, generator) for word in words]


def spelling(word: Excerpt) -> str:
    """Return what tells words apart."""
    return word.label.casefold()


def _draw_takes(
    takes: Sequence[Excerpt], count: int, generator: np.random.Generator
) -> list[Excerpt]:
    speakers = sorted({take.speaker for take in takes})
    chosen = [speakers[i] for i in generator.permutation(len(speakers))[:count]]
    by_speaker = [[take for take in takes if take.speaker == speaker] for speaker in chosen]
    return [mine[generator.integers(len(mine))] for mine in by_speaker]
