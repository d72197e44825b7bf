"""Phone recognition (PR): SUPERB's probe on all layers, trained on clean speech."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hf_rspin.evaluation.evaluation_set import EvaluationSet
from hf_rspin.evaluation.measures.error_rates import ErrorCounts
from hf_rspin.evaluation.probes.base import Metric, Row, layer_rows
from hf_rspin.evaluation.probes.trained.models import PhoneProbe
from hf_rspin.evaluation.probes.trained.recognition import RecognitionProbe


@dataclass(eq=False)
class PhoneRecognition(RecognitionProbe):
    """Phone error rate of `PhoneProbe`, with 95 % bootstrap intervals over speakers.

    Weighted layer sum, Linear(dim, 256), Linear(256, phones), CTC, greedy decoding; see
    `RecognitionProbe` and `ProbeArguments` (`ProbeArguments.recipe("rspin", "pr")` for R-Spin's).

    Example:
        >>> from hf_rspin.evaluation import ProbeArguments
        >>> probe = PhoneRecognition(ProbeArguments(learning_rate=5e-3))  # for `Evaluation`
        >>> probe.name, probe.column
        ('pr', 'phones')
    """

    name, what, column = "pr", "Phone recognition", "phones"
    metrics = (
        Metric(
            "phone_error_rate", "Phones recognised from frozen features", "phone error rate, %",
            "Phone error rate of a linear probe on all layers (lower is better), with 95 % "
            "bootstrap intervals over speakers. The probe was trained on clean speech only.",
            percent=True, digits=1, better="lower",
        ),
        Metric(
            "layer_weight", "Layers that the phone probe reads", "weight",
            "Weight of each layer in the sum that the phone probe reads, times the mean norm of "
            "the layer, scaled to sum 1.",
            conditions="clean", in_summary=False, share=True,
        ),
    )  # fmt: skip

    def texts(self, utterances: EvaluationSet) -> list[str] | None:
        """Return the phones, separated by blanks."""
        return utterances.phones and [" ".join(phones) for phones in utterances.phones]

    def tokens(self, text: str) -> list[str]:
        """Return the phones."""
        return PhoneProbe.tokens(text)

    def make(self, num_layers: int, dim: int, tokens: Sequence[str], shift: int) -> PhoneProbe:
        """Return a fresh probe."""
        return PhoneProbe(num_layers, dim, tokens, self.arguments.projection_size)

    def counts(self) -> ErrorCounts:
        """Return the wrong phones of each utterance."""
        return PhoneProbe.count(self.references, self.predictions)

    def rows(self) -> list[Row]:
        """Return the error rate; for the clean condition the weights of the layers too."""
        rows = [self.rate("phone_error_rate", self.counts())]
        if self.is_clean:
            rows += layer_rows("layer_weight", self.training["layer_weights"])
        return rows
