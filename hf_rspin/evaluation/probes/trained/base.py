"""What every trained probe is: a module with a layer sum, a head, and texts for its classes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from hf_rspin.evaluation.measures.error_rates import ErrorCounts, count_errors
from hf_rspin.evaluation.probes.trained.layer_sum import WeightedLayerSum

GUESSING_ERROR = 0.95  # of recognition: near 1 only what is said always, or blanks, is heard


class TrainedProbe(nn.Module, ABC):
    """A weighted layer sum and a head: features of an utterance become a text.

    Args:
        num_layers: of the features.
        dim: of the features.
        classes: what the head tells apart, the CTC blank not counted.
        head: (all frames, dim) -> scores.
        sizes: with which `type(self)(num_layers, dim, classes, **sizes)` makes another.
    """

    kind: ClassVar[str]
    pool: ClassVar[int] = 1  # batches that are sorted by length together

    def __init__(
        self, num_layers: int, dim: int, classes: Sequence[str], head: nn.Module,
        sizes: dict[str, Any],
    ) -> None:  # fmt: skip
        super().__init__()
        self.dim, self.classes, self.sizes = dim, tuple(classes), sizes
        self.layers, self.head = WeightedLayerSum(num_layers), head

    def config(self) -> dict[str, Any]:
        """Return all that makes a probe of this form, as JSON values."""
        return {
            "probe": self.kind, "num_layers": len(self.layers.weights), "dim": self.dim,
            "classes": list(self.classes), "sizes": self.sizes,
        }  # fmt: skip

    def forward(
        self, features: Tensor, lengths: Sequence[int], rng: np.random.Generator | None = None
    ) -> Tensor:
        """(layers, all frames, dim) of utterances of `lengths` frames -> scores.

        Args:
            features: of the utterances, one after the other.
            lengths: frames of each.
            rng: of an augmentation; None: there is none.

        Raises:
            ValueError: features of another number of layers or dimensions.
        """
        if features.shape[-1] != self.dim:
            raise ValueError(
                f"got features of {features.shape[-1]} dimensions, expected {self.dim}: give those "
                "of the encoder that the probe was trained on."
            )
        return self.head(self.layers(features), lengths)

    @torch.inference_mode()
    def recognize(self, features: Tensor) -> str:
        """Return what an utterance (layers, frames, dim) is recognised as; on any device."""
        lengths = [features.shape[1]]
        return self.decode(self(features.to(self.layers.weights.device), lengths), lengths)[0]

    def guessing_error(self, texts: Sequence[str]) -> float:
        """Return the error rate on some texts from which on nothing was learned."""
        return GUESSING_ERROR

    @abstractmethod
    def fits(self, text: str, frames: int) -> bool:
        """Say whether a text can be learned from so many frames."""

    @abstractmethod
    def losses(self, scores: Tensor, lengths: Sequence[int], texts: Sequence[str]) -> Tensor:
        """Return the loss of each utterance whose text fits, (utterances that fit,)."""

    @abstractmethod
    def decode(self, scores: Tensor, lengths: Sequence[int]) -> list[str]:
        """Return the text of each utterance."""

    @staticmethod
    @abstractmethod
    def tokens(text: str) -> list[str]:
        """Return the classes of a text."""

    @classmethod
    def count(cls, references: Sequence[str], predictions: Sequence[str]) -> ErrorCounts:
        """Count the wrong, missing and superfluous tokens of every utterance.

        Raises:
            ValueError: see `count_errors`.
        """
        return token_errors(*([cls.tokens(t) for t in side] for side in (references, predictions)))


def token_errors(
    references: Sequence[Sequence[str]], predictions: Sequence[Sequence[str]]
) -> ErrorCounts:
    """Count errors over tokens that may hold blanks, or be blanks.

    Args:
        references: tokens of each utterance.
        predictions: likewise.

    Raises:
        ValueError: see `count_errors`.
    """
    names: dict[str, str] = {}

    def joined(rows: Sequence[Sequence[str]]) -> list[str]:
        return [" ".join(names.setdefault(t, str(len(names))) for t in row) for row in rows]

    return count_errors(joined(references), joined(predictions))
