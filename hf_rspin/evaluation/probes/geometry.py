"""The shape of the features, without labels: alignment, uniformity, effective rank."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hf_rspin.evaluation.conditions import CLEAN, Distortion
from hf_rspin.evaluation.feature_store import FeatureStore
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
        """Forget the condition before."""
        self._is_clean = condition.name == CLEAN

    def finish(self, store: FeatureStore) -> None:
        """Measure every layer by itself: all of them together would fill memory."""
        found: dict[str, list[float]] = {"uniformity": [], "effective_rank": []}
        if not self._is_clean:  # there is no alignment of clean speech with itself
            found = {"alignment": [], **found}
        for layer in range(store.num_layers):
            frames = self._drawn(store, layer)
            if not self._is_clean:
                found["alignment"].append(alignment(frames, self._drawn(self._clean, layer)))
            found["uniformity"].append(uniformity(frames))
            found["effective_rank"].append(effective_rank(frames))
        self._found = found

    def _drawn(self, store: FeatureStore, layer: int) -> Tensor:
        """Return the drawn frames of a layer, (frames, dim) float64."""
        parts = [store.layer(index, layer)[places] for index, places in self._places.items()]
        return torch.cat(parts).double()

    def rows(self) -> list[Row]:
        """Return the three numbers per layer."""
        return [row for name, values in self._found.items() for row in layer_rows(name, values)]
