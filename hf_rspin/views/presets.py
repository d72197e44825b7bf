"""The views of the papers as lists of transforms.

`SpinViews` leaves the first view clean and changes the speaker of the second; `RSpinViews` adds
independent noise to both; `LaserViews` makes the second faster or slower at another pitch. Each
takes `augmentations`, further transforms at the end of the list.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..audio import SAMPLING_RATE
from .additive_noise import RSPIN_SNR_RANGE_DB, AddNoise
from .compose import ComposedViews
from .equalizer import Equalizer
from .noise_bank import NoiseBank
from .registry import AUGMENTATION_PROBABILITY, as_transform, augmentation_list
from .speaker_perturbation import SpeakerPerturbation
from .speed_pitch import HUBERT_SPEEDS, SpeedPitch
from .transform import Clip, DrawOnly, Sometimes, Transform


class SpinViews(ComposedViews):
    """Spin's views: the second is another voice through another channel, clipped to [-1, 1].

    Args:
        sampling_rate: of the waveforms in Hz.
        perturb_speaker: whether formants, pitch and pitch range change.
        equalize: whether the ten-band equaliser applies (also where the voice change is skipped).
        augmentations: what comes last on the second view, see `augmentation_list`.
        augment_both_views: the same for the first view, drawn independently.
        perturb_formants: False changes pitch and pitch range alone.

    Raises:
        ValueError: an augmentation is unknown, or made for another rate.
    """

    def __init__(
        self,
        sampling_rate: int = SAMPLING_RATE,
        perturb_speaker: bool = True,
        equalize: bool = True,
        augmentations: Sequence[Any] = (),
        augment_both_views: bool = False,
        perturb_formants: bool = True,
    ) -> None:
        self.perturb_speaker, self.equalize = perturb_speaker, equalize
        voice = SpeakerPerturbation(sampling_rate, perturb_formants)
        equalizer = Equalizer(sampling_rate)
        perturbed = [
            voice if perturb_speaker else DrawOnly(voice),
            equalizer if equalize else DrawOnly(equalizer),
            *([Clip(sampling_rate)] if perturb_speaker or equalize else []),
        ]
        last = augmentation_list(augmentations, sampling_rate)
        noise = self._noise()
        super().__init__(
            [*noise, *(last if augment_both_views else [])], [*perturbed, *noise, *last]
        )

    def _noise(self) -> list[Transform]:
        return []


class RSpinViews(SpinViews):
    """R-Spin's views: Spin's, then noise on both, drawn independently, at SNR U(-10, 10) dB.

    Args:
        noise_bank: where noise comes from; None switches the noise off.
        snr_range_db: least and greatest SNR in dB.
        noise_probability: how often a view gets noise, each view by its own draw; 1 in the paper.
            Below 1 the encoder goes on hearing clean speech too.
        **options: of `SpinViews`.

    Raises:
        ValueError: the SNR range is not (least, greatest), or the bank has another rate.
    """

    def __init__(
        self,
        noise_bank: NoiseBank | None,
        snr_range_db: tuple[float, float] = RSPIN_SNR_RANGE_DB,
        noise_probability: float = 1.0,
        **options: Any,
    ) -> None:
        self.noise_bank, self.snr_range_db = noise_bank, snr_range_db
        self.noise_probability = noise_probability
        super().__init__(**options)

    def _noise(self) -> list[Transform]:
        if self.noise_bank is None:
            return []
        noise = AddNoise(self.noise_bank, snr_range_db=self.snr_range_db)
        share = self.noise_probability
        return [noise if share == 1 else Sometimes(noise, share)]


class LaserViews(ComposedViews):
    """LASER's views: the second is resampled by a speed factor, then shifted by +-2 semitones.

    The speed changes length and pitch, the shift keeps the length. The views of a pair differ in
    length: `round(samples / speed)`. The authors' later variant is `LATER_SPEEDS`, no semitones
    and noise at `LATER_SNRS_DB`; with `AddNoise(..., both_views=True)` R-Spin's noise is added.

    Args:
        speeds: drawn from uniformly.
        semitones: size of the pitch shift, up or down with equal chance; 0 for none.
        noise: noise on the second view or on both; None for none.
        sampling_rate: of the waveforms in Hz.
        augmentations: what comes last on the second view, see `augmentation_list`.
        augment_both_views: the same for the first view, drawn independently.

    Raises:
        ValueError: no speeds, a speed or shift out of range, or a bank of another rate.
    """

    def __init__(
        self,
        speeds: Sequence[float] = HUBERT_SPEEDS,
        semitones: float = 2.0,
        noise: AddNoise | None = None,
        sampling_rate: int = SAMPLING_RATE,
        augmentations: Sequence[Any] = (),
        augment_both_views: bool = False,
    ) -> None:
        self._speed_pitch = SpeedPitch(speeds, semitones, sampling_rate)
        self.speeds, self.semitones = self._speed_pitch.speeds, self._speed_pitch.semitones
        self.noise = noise
        last = augmentation_list(augmentations, sampling_rate)
        clean = [noise] if noise is not None and noise.both_views else []
        perturbed = [self._speed_pitch, *([] if noise is None else [noise])]
        super().__init__(
            [*clean, *(last if augment_both_views else [])], [*perturbed, *last]
        )

    def draw_speed(self, perturbed_generator: np.random.Generator) -> float:
        """Draw the speed, the first draw of a pair: what batches by length must know before."""
        return self._speed_pitch.draw_speed(perturbed_generator)


def build_views(
    views: str | Sequence[str | Transform | Callable] = "rspin",
    noise_bank: NoiseBank | None = None,
    *,
    clean: Sequence[str | Transform | Callable] = (),
    augmentations: Sequence[str | Transform | Callable] = (),
    augmentation_probability: float = AUGMENTATION_PROBABILITY,
    augment_both_views: bool = False,
    sampling_rate: int = SAMPLING_RATE,
    **options: Any,
) -> ComposedViews:
    """Build views from a name of `PRESETS` or from a list of transforms of the second view.

    Args:
        views: "spin", "rspin", "laser", or a list, see `as_transform`.
        noise_bank: where noise comes from; None for none.
        clean: transforms of the first view, where `views` is a list.
        augmentations: further transforms at the end of the second view, such as
            ["telephone", "mp3"].
        augmentation_probability: how often each of those given by name is applied.
        augment_both_views: the same for the first view, drawn independently.
        sampling_rate: of the waveforms in Hz.
        **options: of the preset: `perturb_speaker`, `perturb_formants`, `equalize`, `snr_range_db`,
            and of "rspin" `noise_probability`; of "laser"
            `speeds`, `semitones` and, with a bank, `snrs_db` or `snr_range_db`, and `both_views`.

    Raises:
        ValueError: a name is unknown, or options do not fit.

    Example:
        >>> bank = NoiseBank([np.random.default_rng(0).standard_normal(16000)])
        >>> views = build_views("rspin", bank, augmentations=["telephone", "mp3"])
        >>> views = build_views(["speaker_perturbation", "equalizer", "clip", "telephone"])
    """
    last = augmentation_list(augmentations, sampling_rate, augmentation_probability)
    if not isinstance(views, str):
        if options:
            raise ValueError(
                f"got {sorted(options)} with a list of transforms: give them to its transforms."
            )
        first, second = (
            [as_transform(item, sampling_rate, noise_bank) for item in items]
            for items in (clean, views)
        )
        return ComposedViews([*first, *(last if augment_both_views else [])], [*second, *last])
    if views not in PRESETS:
        raise ValueError(f"got views {views!r}, expected one of {', '.join(PRESETS)}, or a list.")
    if len(clean):
        raise ValueError(f"got clean={list(clean)} with the preset {views!r}: list both views.")
    options |= {
        "sampling_rate": sampling_rate,
        "augmentations": last,
        "augment_both_views": augment_both_views,
    }
    return PRESETS[views](**_with_noise(views, noise_bank, options))


def _with_noise(preset: str, bank: NoiseBank | None, options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a preset with its noise among them."""
    if preset == "rspin":
        return {"noise_bank": bank, **options}
    if bank is None:
        return options
    if preset == "spin":
        raise ValueError("got a noise bank for 'spin', expected none: 'rspin' is Spin with noise.")
    keys = {"snrs_db", "snr_range_db", "both_views"} & options.keys()
    noise = AddNoise(bank, **{key: options.pop(key) for key in keys})
    return {"noise": noise, **options}


PRESETS: dict[str, type[ComposedViews]] = {
    "spin": SpinViews,
    "rspin": RSpinViews,
    "laser": LaserViews,
}
