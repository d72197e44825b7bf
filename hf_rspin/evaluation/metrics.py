"""Error rates as `evaluate.Metric`s that work offline; nothing else here imports `evaluate`.

A script of this project has the same name as that library: Python finds the script first where the
scripts' folder is on the path, so no module that scripts need may import it.
"""

from __future__ import annotations

import datasets
import evaluate

from hf_rspin.evaluation.measures.error_rates import character_error_rate, count_errors

_DESCRIPTION = """Corpus-level {unit} error rate: substitutions, deletions and insertions of all
utterances together, divided by the number of reference {unit}s."""
_INPUTS = """
Args:
    predictions: list of strings, {unit}s separated by blanks.
    references: list of strings, likewise.
Returns:
    {key}: the error rate; 0 is perfect, more than 1 is possible.
"""


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
        return {self.key: character_error_rate(references, predictions)}
