"""Similarity of the features of distorted speech to those of the same clean speech."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from hf_rspin.evaluation.conditions import Distortion
from hf_rspin.evaluation.measures.similarity import LinearCKA
from hf_rspin.evaluation.probes.base import CleanFeatures, Metric, Probe, Row, layer_rows

_CAPTION = """Similarity ({kind} linear CKA) of the features of distorted speech to those of the
same clean speech, frame by frame; 1: the distortion changed nothing but scale and rotation. Higher
is more robust, but only if the features still tell phones apart: constant ones would be robust
too."""


@dataclass(eq=False)
class CkaProbe(Probe):
    """Linear CKA with clean speech per layer (R-Spin, Figure 4); needs no labels.

    Args:
        max_utterances: computed on this many test utterances, spread over the speakers; None: all.
        seed: of that choice.
    """

    name = "cka"
    on_clean = False
    metrics = (
        Metric("cka_debiased", "Noise and rooms: similarity to clean speech", "CKA",
               _CAPTION.format(kind="debiased"), better="higher"),
        Metric(
            "cka", "CKA with clean speech, usual (biased) estimator", "CKA (biased)",
            _CAPTION.format(kind="biased"),
            plotted=False, in_summary=False,
        ),
    )  # fmt: skip

    max_utterances: int | None = None
    seed: int = 0

    def fit(self, features: CleanFeatures, state: Path) -> None:
        """Choose the utterances."""
        chosen = set(features.test.subset(self.max_utterances, self.seed).ids)
        self._chosen = [i for i, key in enumerate(features.test.ids) if key in chosen]
        self._clean = features.test_store

    def begin(self, condition: Distortion) -> None:
        """Start new sums."""
        self._cka, self._left = LinearCKA(), set(self._chosen)

    def update(self, index: int, features: Tensor) -> None:
        """Add the frames of one utterance."""
        if index in self._left:
            self._cka.update(self._clean.peek(index), features)

    def rows(self) -> list[Row]:
        """Return both estimates per layer; nothing below four frames."""
        if self._cka.num_frames < 4:
            return []
        return [
            *layer_rows("cka_debiased", self._cka.debiased_value()),
            *layer_rows("cka", self._cka.value()),
        ]
