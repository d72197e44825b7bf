"""Phone indices of every frame of the speech sample."""

from __future__ import annotations

import numpy as np

from hf_rspin.audio import SAMPLING_RATE
from hf_rspin.resources.alignment import SILENCE, frame_phones


def sample_phones() -> dict[str, np.ndarray]:
    """Return utterance id -> phone index (frames,) int64 of the sample; silence is -1."""
    from hf_rspin.resources import load_sample

    sample = load_sample()
    named = {
        row["id"]: frame_phones(row["alignment"], round(row["duration"] * SAMPLING_RATE))
        for row in sample.select_columns(["id", "alignment", "duration"])
    }
    names = sorted({phone for phones in named.values() for phone in phones} - {SILENCE})
    index = {SILENCE: -1} | {name: number for number, name in enumerate(names)}
    return {key: np.array([index[phone] for phone in phones]) for key, phones in named.items()}
