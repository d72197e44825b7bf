"""Speech recognition (ASR): SUPERB's probe with bidirectional LSTMs, trained on clean speech."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hf_rspin.audio import FRAME_SHIFT
from hf_rspin.data.transcripts import TranscriptRules
from hf_rspin.evaluation.evaluation_set import EvaluationSet
from hf_rspin.evaluation.measures.error_rates import ErrorCounts
from hf_rspin.evaluation.probes.base import Metric, Row, layer_rows
from hf_rspin.evaluation.probes.trained.base import token_errors
from hf_rspin.evaluation.probes.trained.models import CharacterProbe
from hf_rspin.evaluation.probes.trained.recognition import RecognitionProbe
from hf_rspin.evaluation.probes.trained.spec_augment import SpecAugment
from hf_rspin.evaluation.probes.trained.whisper_text import whisper_normalized


@dataclass(eq=False)
class SpeechRecognition(RecognitionProbe):
    """Word and character error rates of `CharacterProbe`, with intervals over speakers.

    Weighted layer sum, SpecAugment (training), Linear, two bidirectional LSTMs, Linear, CTC over
    the characters of the training texts, greedy decoding. Texts are learned in lower case without
    punctuation (`TranscriptRules`). Weights are chosen by the character error rate on dev, which
    tells more than that of words while a probe has learned little.

    The default size is for a CPU, a sixteenth of the work of SUPERB's (`hidden_size=1024`, with
    `ProbeArguments.recipe("superb", "asr")`): that takes a GPU. Either needs thousands of updates
    before CTC says more than blanks.

    Args:
        hidden_size: of the projection, and of each direction of the LSTMs; SUPERB: 1024.
        depth: number of LSTMs.
        dropout: after each LSTM.
        spec_augment: hide and warp the weighted features while training.
        whisper_normalization: score English texts in Whisper's form, see `whisper_normalized`;
            switch it off for other languages (`--asr_normalization none`).

    Example:
        >>> from hf_rspin.evaluation import ProbeArguments
        >>> probe = SpeechRecognition(ProbeArguments(learning_rate=1e-3), hidden_size=128)
        >>> probe.name, probe.column  # for `Evaluation`
        ('asr', 'text')
    """

    name, what, column = "asr", "Speech recognition", "text"
    metrics = (
        Metric(
            "word_error_rate", "Words recognised from frozen features", "word error rate, %",
            "Word error rate of a recurrent probe on all layers (lower is better), decoded "
            "without a language model, with 95 % bootstrap intervals over speakers. The probe was "
            "trained on clean speech only. Texts are compared in the form of Whisper's normaliser "
            "for English, unless its setting `whisper_normalization` is false.",
            percent=True, digits=1, better="lower",
        ),
        Metric(
            "character_error_rate", "Characters recognised from frozen features",
            "character error rate, %",
            "Character error rate of the same texts, blanks counted (lower is better).",
            percent=True, digits=1, better="lower",
        ),
        Metric(
            "asr_layer_weight", "Layers that the speech recognition probe reads", "weight",
            "Weight of each layer in the sum that the speech recognition probe reads, times the "
            "mean norm of the layer, scaled to sum 1.",
            conditions="clean", in_summary=False, share=True,
        ),
    )  # fmt: skip

    hidden_size: int = 256
    depth: int = 2
    dropout: float = 0.2
    spec_augment: bool = True
    whisper_normalization: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("hidden_size", "depth"):
            if getattr(self, name) < 1:
                raise ValueError(f"got {name} {getattr(self, name)}; expected 1 or more.")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"got dropout {self.dropout}; expected 0 or more, below 1.")

    def settings(self) -> dict[str, Any]:
        """Return what decides its numbers."""
        found = super().settings()
        del found["arguments"]["projection_size"]  # of the other probes
        return found

    @cached_property
    def _rules(self):

        return TranscriptRules("text")

    def texts(self, utterances: EvaluationSet) -> list[str] | None:
        """Return the texts in lower case, without punctuation."""
        return utterances.texts and [self._rules(text) for text in utterances.texts]

    def tokens(self, text: str) -> list[str]:
        """Return the characters."""
        return CharacterProbe.tokens(text)

    def make(self, num_layers: int, dim: int, tokens: Sequence[str], shift: int) -> CharacterProbe:
        """Return a fresh probe; the augmentation counts in seconds, whatever the frame rate."""
        ratio = shift / FRAME_SHIFT
        augment = SpecAugment(time_warp=round(5 / ratio), time_width=round(40 / ratio))
        return CharacterProbe(
            num_layers, dim, tokens, self.hidden_size, self.depth, self.dropout,
            augment if self.spec_augment else None,
        )  # fmt: skip

    def counts(self) -> ErrorCounts:
        """Return the wrong words of each utterance."""
        return token_errors(*([text.split() for text in side] for side in self._scored()))

    def rows(self) -> list[Row]:
        """Return the error rates; for the clean condition the weights of the layers too."""
        rows = [
            self.rate("word_error_rate", self.counts()),
            self.rate("character_error_rate", CharacterProbe.count(*self._scored())),
        ]
        if self.is_clean:
            rows += layer_rows("asr_layer_weight", self.training["layer_weights"])
        return rows

    def details(self) -> dict[str, Any]:
        """Return, besides what `RecognitionProbe` does, errors in characters and what was heard."""
        counts = CharacterProbe.count(*self._scored())
        return super().details() | {
            "character_errors": counts.errors.tolist(),
            "character_lengths": counts.lengths.tolist(),
            "predictions": self.predictions,
        }

    def _scored(self) -> tuple[list[str], list[str]]:
        """Return references and predictions in the form in which they are compared."""
        sides = self.references, self.predictions
        if not self.whisper_normalization:
            return sides
        return tuple([whisper_normalized(text) for text in side] for side in sides)
