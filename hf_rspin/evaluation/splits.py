"""Divide utterances into training and test parts by their speakers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def hold_out_speakers(
    speakers: Sequence[str | None], fraction: float = 0.1, seed: int = 0
) -> tuple[list[int], list[int]]:
    """Split utterances into train and dev indices that share no speaker.

    Args:
        speakers: of each utterance; those of speakers that are not known (None) are trained on.
        fraction: share of the speakers held out; at least one, and not all.
        seed: of the choice.

    Raises:
        ValueError: fewer than two speakers.
    """
    names = sorted(set(speakers) - {None})
    if len(names) < 2:
        raise ValueError(f"got {len(names)} speaker; holding some out needs two or more.")
    count = min(max(1, round(fraction * len(names))), len(names) - 1)
    held = set(np.random.default_rng(seed).permutation(names)[:count].tolist())
    dev = [i for i, speaker in enumerate(speakers) if speaker in held]
    return [i for i, speaker in enumerate(speakers) if speaker not in held], dev


def split_within_speakers(
    speakers: Sequence[str | None], test_fraction: float = 0.3, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Split utterances so that every speaker of the test part is in the training part.

    Speakers with one utterance only are left out, and utterances whose speaker is not known (None).

    Args:
        speakers: of each utterance.
        test_fraction: share of each speaker's utterances to test on; at least one, and not all.
        seed: of the choice.

    Returns:
        Indices of the training and of the test utterances.

    Raises:
        ValueError: fewer than two speakers have two utterances.
    """
    rng = np.random.default_rng(seed)
    train, test = [], []
    for name in sorted(set(speakers) - {None}):
        members = rng.permutation([i for i, speaker in enumerate(speakers) if speaker == name])
        if len(members) < 2:
            continue
        count = min(max(1, round(test_fraction * len(members))), len(members) - 1)
        test.append(members[:count])
        train.append(members[count:])
    if len(train) < 2:
        raise ValueError(
            f"{len(train)} of {len(set(speakers) - {None})} speakers ({len(speakers)} utterances) "
            "said two or more; it needs two such speakers, as it learns from some utterances of "
            "each: give more utterances (a subset is spread over the speakers)."
        )
    return np.sort(np.concatenate(train)), np.sort(np.concatenate(test))
