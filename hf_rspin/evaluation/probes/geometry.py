"""The shape of the features, without labels: alignment, uniformity, effective rank."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hf_rspin.evaluation.conditions import CLEAN, Distortion
from hf_rspin.evaluation.measures.geometry import alignment, effective_rank, uniformity
from hf_rspin.evaluation.probes.base import CleanFeatures, Metric, Probe, Row, layer_rows


@dataclass(eq=False)
class GeometryProbe(Probe):
    """How near both views of a frame are, and how much of the space the frames fill.

    On the unit sphere (Wang and Isola 2020): alignment = mean |x - x'|^2 of a frame and the same
    frame of clean speech; uniformity = log mean exp(-2 |x - y|^2) over pairs of frames. Effective
    rank (Roy and Vetterli 2007) = exp of the entropy of the singular values of the centred
    frames, scaled to sum 1.

    Args:
        frames_per_utterance: frames drawn of each utterance; of all together at most `max_frames`.
        max_frames: uniformity compares every pair of them.
        seed: of the draw, which is the same in every condition.
    """

    name = "geometry"
    metrics = (
        Metric(
            "alignment", "Alignment of distorted and clean frames", "alignment",
            "Mean squared distance, on the unit sphere, of a frame of distorted speech and the "
            "same frame of clean speech; 0: they are equal. Lower is more robust.",
        ),
        Metric(
            "uniformity", "Uniformity of the frames", "uniformity",
            "Log of the mean of exp(-2 squared distance) over pairs of frames on the unit sphere. "
            "Lower: the frames fill the sphere; 0: they are all the same.",
        ),
        Metric(
            "effective_rank", "Effective rank of the frames", "effective rank",
            "Exponential of the entropy of the singular values: how many directions the frames "
            "use. A fall to a few is a collapse.",
            digits=1, conditions="clean",
        ),
    )  # fmt: skip

    frames_per_utterance: int = 50
    max_frames: int = 2000
    seed: int = 0

    def fit(self, features: CleanFeatures, state: Path) -> None:
        """Draw the frames to look at, spread over the utterances."""
        self._clean = features.test_store
        generator = np.random.default_rng(self.seed)
        utterances = generator.permutation(len(self._clean))[: self.max_frames]
        share = max(1, min(self.frames_per_utterance, self.max_frames // len(utterances)))
        self._places = {
            int(i): torch.from_numpy(generator.permutation(self._clean.lengths[i])[:share])
            for i in np.sort(utterances)
        }

    def begin(self, condition: Distortion) -> None:
        """Forget the frames."""
        self._is_clean = condition.name == CLEAN
        self._frames: list[Tensor] = []
        self._clean_frames: list[Tensor] = []

    def update(self, index: int, features: Tensor) -> None:
        """Keep the drawn frames of one utterance, and their distances to the clean ones."""
        if index not in self._places:
            return
        places = self._places[index]
        frames = features[:, places]  # (layers, drawn, dim)
        clean = self._clean.peek(index)[:, places]
        self._frames.append(frames)
        self._clean_frames.append(clean)

    def rows(self) -> list[Row]:
        """Return the three numbers per layer; no alignment of clean speech with itself."""
        frames = torch.cat(self._frames, dim=1).double()  # (layers, frames, dim)
        clean = torch.cat(self._clean_frames, dim=1).double()
        pairs = zip(frames, clean, strict=True)
        return [
            *([] if self._is_clean else layer_rows("alignment", [alignment(*p) for p in pairs])),
            *layer_rows("uniformity", [uniformity(layer) for layer in frames]),
            *layer_rows("effective_rank", [effective_rank(layer) for layer in frames]),
        ]
