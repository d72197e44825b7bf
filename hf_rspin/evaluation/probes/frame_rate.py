"""How long a frame of some features is: encoders of 50 Hz, and of fewer frames (SEW has 25)."""

from __future__ import annotations

import numpy as np

from hf_rspin.audio import num_frames
from hf_rspin.evaluation.evaluation_set import EvaluationSet
from hf_rspin.evaluation.feature_store import FeatureStore


def frame_factor(utterances: EvaluationSet, store: FeatureStore) -> int:
    """Return how many frames of 20 ms (`FRAME_SHIFT` samples) one frame of the features is.

    Args:
        utterances: the audio of the longest is read for its length.
        store: features of `utterances`.
    """
    longest = int(np.argmax(store.lengths))
    frames = num_frames(len(utterances.read(longest)))
    return max(1, round(frames / store.lengths[longest]))
