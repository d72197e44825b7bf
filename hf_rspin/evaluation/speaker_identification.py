"""How much each layer says about who speaks: a linear probe on utterance means."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler


def split_within_speakers(
    speakers: Sequence[str], test_fraction: float = 0.3, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Split utterances so that every speaker of the test part is in the training part.

    Speakers with one utterance only are left out.

    Returns:
        Indices of the training and of the test utterances.

    Raises:
        ValueError: fewer than two speakers have two utterances.
    """
    rng = np.random.default_rng(seed)
    names = np.asarray(speakers)
    train, test = [], []
    for name in np.unique(names):
        members = rng.permutation(np.flatnonzero(names == name))
        if len(members) < 2:
            continue
        count = min(max(1, round(test_fraction * len(members))), len(members) - 1)
        test.append(members[:count])
        train.append(members[count:])
    if len(train) < 2:
        raise ValueError(
            f"{len(train)} speaker has two or more utterances; speaker identification needs two "
            "such speakers: check the `speaker` column, or leave it out."
        )
    return np.sort(np.concatenate(train)), np.sort(np.concatenate(test))


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

    def accuracy(self, means: np.ndarray, speakers: Sequence[str]) -> list[float]:
        """Return the share of utterances (utterances, layers, dim) given to their speaker."""
        truth = np.asarray(speakers)
        layers = zip(self._layers, means.swapaxes(0, 1), strict=True)
        return [float((probe.predict(layer) == truth).mean()) for probe, layer in layers]

    def _fit_layer(self, means: np.ndarray, speakers: Sequence[str]) -> Pipeline:
        probe = make_pipeline(
            StandardScaler(),
            LogisticRegression(C=self.regularization, max_iter=self.max_iterations, tol=1e-3),
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return probe.fit(means.astype(np.float32), np.asarray(speakers))
