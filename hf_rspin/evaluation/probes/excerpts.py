"""Phones or words cut out of utterances: where they are, and their frames in a feature store."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hf_rspin.audio import FRAME_SHIFT, FRAME_WINDOW, SAMPLING_RATE
from hf_rspin.data.phone_times import SILENCE, known_label, known_phone, parse_alignment
from hf_rspin.evaluation.evaluation_set import EvaluationSet
from hf_rspin.evaluation.feature_store import FeatureStore


class Excerpt(NamedTuple):
    """A phone or word of an utterance.

    Attributes:
        utterance: place of the utterance in its set.
        speaker: of it.
        start: seconds.
        end: seconds; infinite for the last one, which ends with the utterance.
        label: the phone or word.
        context: the labels before and after, `SIL` at the edges.
    """

    utterance: int
    speaker: str
    start: float
    end: float
    label: str
    context: tuple[str, str]


def find_excerpts(test: EvaluationSet, column: str, alignments: Sequence[str]) -> list[Excerpt]:
    """Return the labelled parts of all utterances of known speakers.

    Silence, what the aligner did not know (spn, <unk>) and parts without length are left out; the
    last are no context either.

    Args:
        test: with speakers.
        column: how errors call the alignments.
        alignments: one per utterance, see `parse_alignment`.

    Raises:
        ValueError: an alignment cannot be read.
    """
    named = known_label if "word" in column else known_phone  # somebody may say "silence"
    found = []
    for index, (speaker, text) in enumerate(zip(test.speakers, alignments, strict=True)):
        try:
            segments = parse_alignment(text, math.inf)
        except ValueError as error:
            raise ValueError(f"column {column} of {test.ids[index]}: {error}") from error
        segments = [
            segment._replace(phone=named(segment.phone))
            for segment in segments
            if segment.end > segment.start
        ]
        labels = [SILENCE, *(segment.phone for segment in segments), SILENCE]
        for place, (start, end, label) in enumerate(segments):
            if label != SILENCE and speaker is not None:
                context = (labels[place], labels[place + 2])
                found.append(Excerpt(index, speaker, start, end, label, context))
    return found


def frames_of(excerpt: Excerpt, frames: int, factor: int = 1) -> slice:
    """Return the frames whose centres the excerpt holds; the nearest one where it holds none.

    Args:
        excerpt: see above.
        frames: of its utterance.
        factor: see `frame_factor`; the centre is that of the middle frame of 20 ms, as in
            `labels_at`.
    """
    centre = FRAME_WINDOW / 2 / FRAME_SHIFT + factor // 2  # of frame 0, in frames of 20 ms

    def place(seconds: float) -> float:
        # rounded: 0.0125 s * 50 must not lie a hair off the centre of a frame
        return round((seconds * SAMPLING_RATE / FRAME_SHIFT - centre) / factor, 9)

    end = min(excerpt.end, frames * factor * FRAME_SHIFT / SAMPLING_RATE)
    first, stop = math.ceil(place(excerpt.start)), math.ceil(place(end))
    first, stop = max(first, 0), min(stop, frames)
    if stop <= first:
        middle = round(place((excerpt.start + end) / 2))
        first = min(max(middle, 0), frames - 1)
        stop = first + 1
    return slice(first, stop)


def cut(
    store: FeatureStore, layer: int, excerpts: Sequence[Excerpt], factor: int
) -> list[np.ndarray]:
    """Return the frames (frames, dim) of each excerpt in a layer; every utterance is read once."""
    of: dict[int, list[int]] = {}
    for place, excerpt in enumerate(excerpts):
        of.setdefault(excerpt.utterance, []).append(place)
    found: list[np.ndarray] = [np.empty(0)] * len(excerpts)
    for utterance in sorted(of):
        values = store.layer(utterance, layer).numpy()
        for place in of[utterance]:
            # copied: a view would keep the whole utterance in memory
            found[place] = values[frames_of(excerpts[place], len(values), factor)].copy()
    return found
