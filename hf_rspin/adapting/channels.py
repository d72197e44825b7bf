"""Which channels of a recording are listened to: their mean, one side, or each by itself."""

from __future__ import annotations

import numpy as np

NAMES = ("left", "right")
SAME = 0.98  # correlation from which on two channels are one recording twice
APART = 0.5  # below it they hear different things, such as two speakers


def choose_channels(samples: np.ndarray, channel: str) -> dict[str, np.ndarray]:
    """Return the chosen channels of some audio by name; "" where there is but one to name.

    A recording of one channel is taken whatever is asked for. Of `separate`, channels that
    repeat the first one are left out.

    Args:
        samples: (samples, channels).
        channel: mix, left, right or separate.

    Returns:
        Waveforms (samples,) by name.

    Example:
        >>> sorted(choose_channels(np.random.randn(100, 2), "separate"))
        ['left', 'right']
    """
    count = samples.shape[1]
    if count == 1 or (channel == "separate" and is_repeated(samples)):
        return {"": samples[:, 0]}
    if channel == "separate":
        return {name_of(index, count): samples[:, index] for index in range(count)}
    if channel in NAMES:
        return {channel: samples[:, NAMES.index(channel)]}
    return {"": samples.mean(axis=1)}


def name_of(index: int, count: int) -> str:
    """Return how a channel is called."""
    return NAMES[index] if count == 2 else f"channel {index + 1}"


def is_repeated(samples: np.ndarray) -> bool:
    """Say whether all channels (samples, channels) are the first one again."""
    return len(samples) > 0 and all(
        correlation(samples[:, [0, index]]) > SAME for index in range(1, samples.shape[1])
    )


def correlation(samples: np.ndarray) -> float:
    """Return the correlation of two channels (samples, 2); 1 of equal ones, 0 of a silent one."""
    centred = samples - samples.mean(axis=0)
    powers = np.square(centred).sum(axis=0)
    if np.array_equal(samples[:, 0], samples[:, 1]):
        return 1.0
    if powers.min() == 0:
        return 0.0
    return float((centred[:, 0] * centred[:, 1]).sum() / np.sqrt(powers.prod()))
