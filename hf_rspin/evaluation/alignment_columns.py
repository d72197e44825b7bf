"""Columns of times of phones and words: those of low score, without stress, beyond the audio."""

from __future__ import annotations

import math
from collections.abc import Sequence

import datasets

from hf_rspin.data.phone_labels import without_stress
from hf_rspin.data.phone_times import ROUNDING


def trusted(
    alignments: list[str], corpus: datasets.Dataset, least_score: float | None
) -> list[str] | None:
    """Empty the alignments of low score; None where all are empty.

    Raises:
        ValueError: a least score is given, and the corpus has none.
    """
    if least_score is not None:
        if "alignment_score" not in corpus.column_names:
            raise ValueError(
                f"the least score of alignments is {least_score:g}, but they have no scores; "
                "expected `score` in alignments.jsonl: leave the least score out."
            )
        scores = [math.nan if score is None else score for score in corpus["alignment_score"]]
        pairs = zip(alignments, scores, strict=True)
        alignments = [text if score >= least_score else "" for text, score in pairs]
    return alignments if any(alignments) else None


def alignment_without_stress(alignment: str) -> str:
    """Drop the stress of the phones of an alignment; what is none of one stays for the check."""
    entries = (entry.partition(":") for entry in alignment.split())
    return " ".join(start + colon + without_stress(phone) for start, colon, phone in entries)


def drop_late(
    alignments: list[str] | None,
    ids: Sequence[str],
    durations: Sequence[float],
    late: set[str],
) -> list[str] | None:
    """Empty the alignments in which something starts after the end of the audio.

    Args:
        alignments: one per utterance, or None.
        ids: of the utterances.
        durations: of their audio, in seconds.
        late: gets the ids of those that are emptied.

    Returns:
        The alignments; None where all are empty.
    """
    if alignments is None:
        return None
    kept = []
    for text, name, seconds in zip(alignments, ids, durations, strict=True):
        is_late = _last_start(text) > seconds + ROUNDING
        kept.append("" if is_late else text)
        late |= {name} if is_late else set()
    return kept if any(kept) else None


def _last_start(alignment: str) -> float:
    """Return the last start in seconds; 0 where it is no number, which others refuse."""
    try:
        return float(alignment.rpartition(" ")[2].partition(":")[0] or 0)
    except ValueError:
        return 0.0
