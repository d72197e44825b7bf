"""Error rates over words, phones or characters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import jiwer
import numpy as np


@dataclass(frozen=True)
class ErrorCounts:
    """Errors and reference lengths of each utterance, (utterances,) each, in tokens."""

    errors: np.ndarray
    lengths: np.ndarray

    @property
    def rate(self) -> float:
        """Corpus-level error rate."""
        return float(self.errors.sum() / self.lengths.sum())

    def __len__(self) -> int:
        return len(self.errors)


def count_errors(references: Sequence[str], predictions: Sequence[str]) -> ErrorCounts:
    """Count substitutions, deletions and insertions per utterance (Levenshtein, jiwer).

    Args:
        references: tokens (words or phones) separated by blanks, one string per utterance.
        predictions: likewise.

    Raises:
        ValueError: the two differ in number, or the references hold no token at all.
    """
    if len(references) != len(predictions):
        raise ValueError(
            f"got {len(references)} references and {len(predictions)} predictions; expected one "
            "prediction per reference, in the same order."
        )
    lengths = np.array([len(reference.split()) for reference in references], dtype=np.int64)
    if lengths.sum() == 0:
        raise ValueError("the references hold no token; an error rate needs at least one.")
    aligned = jiwer.process_words(
        [" ".join(reference.split()) for reference in references],
        [" ".join(prediction.split()) for prediction in predictions],
        reference_transform=_SPLIT, hypothesis_transform=_SPLIT,
    )
    errors = [sum(_chunk_errors(chunk) for chunk in chunks) for chunks in aligned.alignments]
    return ErrorCounts(np.array(errors, dtype=np.int64), lengths)


# jiwer's default transform would strip and merge blanks of its own; tokens are taken as they are.
_SPLIT = jiwer.Compose([jiwer.ReduceToListOfListOfWords()])


def _chunk_errors(chunk: jiwer.AlignmentChunk) -> int:
    if chunk.type == "equal":
        return 0
    return max(chunk.ref_end_idx - chunk.ref_start_idx, chunk.hyp_end_idx - chunk.hyp_start_idx)


def character_error_rate(references: Sequence[str], predictions: Sequence[str]) -> float:
    """Return the corpus-level character error rate; blanks are characters.

    Raises:
        ValueError: not one prediction per reference.
    """
    if len(references) != len(predictions):
        raise ValueError(
            f"got {len(references)} references and {len(predictions)} predictions; expected one "
            "prediction per reference, in the same order."
        )
    return float(jiwer.cer(list(references), list(predictions)))
