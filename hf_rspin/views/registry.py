"""Transforms by name, for configs and command lines.

To add a view, write a `Transform` in a file of its own and give it a name in `TRANSFORMS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..audio import SAMPLING_RATE
from .additive_noise import RSPIN_SNR_RANGE_DB, AddNoise
from .alignment import check_alignment
from .audiomentation import Audiomentation, band_limit, clipping
from .codec import mp3, telephone
from .equalizer import Equalizer
from .noise_bank import NoiseBank
from .speaker_perturbation import SpeakerPerturbation
from .transform import Clip, Sometimes, Transform

AUGMENTATION_PROBABILITY = 0.5
# each is called with the sampling rate in Hz
TRANSFORMS: dict[str, Callable[[int], Transform]] = {
    "speaker_perturbation": SpeakerPerturbation,
    "equalizer": Equalizer,
    "clip": Clip,
    "band_limit": band_limit,
    "clipping": clipping,
    "mp3": mp3,
    "telephone": telephone,
}


def as_transform(
    item: str | Transform | Callable,
    sampling_rate: int = SAMPLING_RATE,
    noise_bank: NoiseBank | None = None,
) -> Transform:
    """Return the transform that an entry of a list of views stands for.

    Args:
        item: a `Transform`, an object of audiomentations, "noise" (R-Spin's, from `noise_bank`),
            or another name of `TRANSFORMS`.
        sampling_rate: of the waveforms in Hz.
        noise_bank: where "noise" comes from.

    Raises:
        ValueError: the name is unknown, or there is no bank for "noise".
        TypeError: it is none of these.
    """
    if isinstance(item, Transform):
        return item
    if item == "noise":
        if noise_bank is None:
            raise ValueError("got the transform 'noise' without a noise bank: give noise_bank.")
        return AddNoise(noise_bank, snr_range_db=RSPIN_SNR_RANGE_DB)
    if isinstance(item, str):
        if item not in TRANSFORMS:
            names = ", ".join(sorted([*TRANSFORMS, "noise"]))
            raise ValueError(f"got the transform {item!r}, expected one of {names}.")
        return TRANSFORMS[item](sampling_rate)
    if hasattr(item, "randomize_parameters"):  # audiomentations is not imported to find out
        return Audiomentation(item, sampling_rate)
    raise TypeError(
        f"got {item!r} in a list of views, expected a Transform, a name such as 'telephone', or a "
        "transform of audiomentations."
    )


def augmentation_list(
    augmentations: Sequence[str | Transform | Callable],
    sampling_rate: int = SAMPLING_RATE,
    probability: float = AUGMENTATION_PROBABILITY,
) -> list[Transform]:
    """Return augmentations for the end of a view; those given by name with a probability each.

    Raises:
        ValueError: a name is unknown, one name is given instead of a list, or a transform changes
            the length or moves sound in time.
    """
    if isinstance(augmentations, str):
        raise ValueError(f"got augmentations={augmentations!r}, expected a list of names.")
    found = []
    for item in augmentations:
        transform = as_transform(item, sampling_rate)
        if not isinstance(transform, Audiomentation | AddNoise):  # measured, and no change of time
            check_alignment(transform)
        found.append(Sometimes(transform, probability) if isinstance(item, str) else transform)
    return found
