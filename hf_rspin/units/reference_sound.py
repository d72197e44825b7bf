"""One second of fixed sound: by what they hear in it, features are known again."""

from __future__ import annotations

import logging

import numpy as np

from hf_rspin.audio import SAMPLING_RATE
from hf_rspin.units.features import FrameFeatures
from hf_rspin.units.kmeans import KMeans

logger = logging.getLogger(__name__)

# of the deviation: bfloat16 differs by 0.01 to 0.1, `normalize` by 0.13 to 0.17 where norms follow
# (90 % of the units agree), Spin of the clustered layer by 0.4 and more
_SAME = 0.2


def reference_sound() -> np.ndarray:
    """Return one second of gliding harmonics in three bursts, float32 (16000,), the same always."""
    time = np.arange(SAMPLING_RATE) / SAMPLING_RATE
    phase = 2 * np.pi * (100 * time + 60 * time**2)  # 100 Hz rising to 220 Hz
    voice = sum(np.sin(n * phase + n * n) / n for n in range(1, 20))
    loudness = 0.1 + np.sin(3 * np.pi * time) ** 2
    return (0.1 * loudness * voice).astype(np.float32)


def response(features: FrameFeatures) -> np.ndarray:
    """Return what features say of the reference sound, float32 (frames, dim)."""
    return np.asarray(features(reference_sound()), dtype=np.float32)


def same_features(first: np.ndarray, second: np.ndarray) -> bool:
    """Say whether two responses are those of the same features, perhaps in another precision.

    Args:
        first: (frames, dim) of `response`.
        second: (frames, dim); another shape is another's.
    """
    if first.shape != second.shape:
        return False
    deviation = np.linalg.norm(first - first.mean(axis=0))
    return bool(np.linalg.norm(first - second) <= _SAME * deviation)


def remember_features(kmeans: KMeans, features: FrameFeatures) -> None:
    """Let a k-means keep what the features that it clusters say of the reference sound."""
    kmeans.response = response(features)


def warn_of_other_features(kmeans: KMeans, features: FrameFeatures) -> None:
    """Warn where a k-means remembers its features, and these are of another encoder or layer."""
    if kmeans.response is None or same_features(kmeans.response, response(features)):
        return
    logger.warning(
        "The k-means was fitted on other features (%s) than those that it is given here, so its "
        "units may say little: pass the encoder and layer that it was fitted on, or fit one "
        "(hf-rspin labels).",
        kmeans.source or "it does not name them",
    )
