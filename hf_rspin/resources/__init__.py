"""What ships with the package: a speech sample, noises for it, a small encoder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hf_rspin.data.phone_times import (
    SILENCE,
    Segment,
    alignment_text,
    frame_phones,
    parse_alignment,
)
from hf_rspin.models.folders import encoder_folder
from hf_rspin.resources.noises import SEEN_NOISES, UNSEEN_NOISES, sample_noises

if TYPE_CHECKING:
    import datasets

__all__ = [
    "SEEN_NOISES",
    "SILENCE",
    "UNSEEN_NOISES",
    "Segment",
    "alignment_text",
    "encoder_folder",
    "frame_phones",
    "load_sample",
    "parse_alignment",
    "sample_folder",
    "sample_noises",
]

_ROOT = Path(__file__).resolve().parent


def sample_folder() -> Path:
    """Return the folder of the speech sample: FLAC files, metadata.csv, README.md."""
    return _ROOT / "sample"


def load_sample(split: str | None = None) -> datasets.Dataset:
    """Load the speech sample: 20 synthetic voices, six sentences of about 2.6 s each.

    Columns: `id`, `audio` (undecoded), `duration` (seconds), `split`, `speaker`, `gender`,
    `sentence` (equal for the same words in other voices), `text`, `phones`, `alignment` (see
    `parse_alignment`). Every voice is in both splits, no sentence is.

    Args:
        split: "train" (80 utterances), "test" (40), or None for both.

    Raises:
        ValueError: no such split.
    """
    from hf_rspin.data.corpus import load_corpus  # heavy: paths alone should not need `datasets`

    if split not in (None, "train", "test"):
        raise ValueError(f"split is {split!r}, expected 'train', 'test' or None.")
    return load_corpus(sample_folder(), split=split)
