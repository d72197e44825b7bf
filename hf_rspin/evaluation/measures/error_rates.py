"""Error rates over words or phones, as functions and as offline `evaluate.Metric`s."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import datasets
import evaluate
import jiwer
import numpy as np

_DESCRIPTION = """Corpus-level {unit} error rate: substitutions, deletions and insertions of all
utterances together, divided by the number of reference {unit}s."""
_INPUTS = """
Args:
    predictions: list of strings, {unit}s separated by blanks.
    references: list of strings, likewise.
Returns:
    {key}: the error rate; 0 is perfect, more than 1 is possible.
"""


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


class _ErrorRate(evaluate.Metric):
    """`evaluate.load("wer")` downloads a script and fails offline; these classes do not."""

    unit: str
    key: str

    def __init__(self, **kwargs) -> None:
        super().__init__(**{"config_name": "default", "keep_in_memory": True, **kwargs})

    def _info(self) -> evaluate.MetricInfo:
        text = datasets.Value("string")
        return evaluate.MetricInfo(
            description=_DESCRIPTION.format(unit=self.unit),
            citation="",
            inputs_description=_INPUTS.format(unit=self.unit, key=self.key),
            features=datasets.Features({"predictions": text, "references": text}),
        )

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, float]:
        return {self.key: count_errors(references, predictions).rate}


class WordErrorRate(_ErrorRate):
    """Word error rate: `WordErrorRate().compute(predictions=..., references=...)["wer"]`."""

    unit, key = "word", "wer"


class PhoneErrorRate(_ErrorRate):
    """Phone error rate: `PhoneErrorRate().compute(predictions=..., references=...)["per"]`."""

    unit, key = "phone", "per"


class CharacterErrorRate(_ErrorRate):
    """Character error rate, blanks counted as characters; key "cer"."""

    unit, key = "character", "cer"

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, float]:
        return {self.key: float(jiwer.cer(references, predictions))}
