"""Logistic regression on utterance means, for each layer: no part of it is tuned."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline


class SpeakerProbe:
    """One multinomial logistic regression per layer on standardised utterance means.

    SUPERB trains Linear, mean over time, Linear with a learned layer sum; a convex probe per layer
    needs no tuning, and shows where in the encoder the speaker is (Figure 5).

    Args:
        regularization: inverse L2 strength `C` of scikit-learn.
    """

    def __init__(self, regularization: float = 1.0, max_iterations: int = 200) -> None:
        self.regularization, self.max_iterations = regularization, max_iterations
        self._layers: list[Pipeline] = []

    def fit(self, means: np.ndarray, speakers: Sequence[str]) -> SpeakerProbe:
        """Train on utterance means (utterances, layers, dim)."""
        self._layers = [self._fit_layer(layer, speakers) for layer in means.swapaxes(0, 1)]
        return self

    def correct(self, means: np.ndarray, speakers: Sequence[str]) -> list[np.ndarray]:
        """Return per layer which utterances (utterances, layers, dim) got their speaker, bool."""
        truth = np.asarray(speakers)
        layers = zip(self._layers, means.swapaxes(0, 1), strict=True)
        return [probe.predict(layer) == truth for probe, layer in layers]

    def accuracy(self, means: np.ndarray, speakers: Sequence[str]) -> list[float]:
        """Return per layer the share of utterances (utterances, layers, dim) that got theirs."""
        return [float(hits.mean()) for hits in self.correct(means, speakers)]

    def _fit_layer(self, means: np.ndarray, speakers: Sequence[str]) -> Pipeline:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        probe = make_pipeline(
            StandardScaler(),
            LogisticRegression(C=self.regularization, max_iter=self.max_iterations, tol=1e-3),
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return probe.fit(means.astype(np.float32), np.asarray(speakers))
