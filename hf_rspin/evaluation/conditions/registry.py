"""Conditions by the names of a command line.

To add one, write it in a file of its own and give it a row in `WITH_NOISE`, `GRADED` or `OTHERS`.
"""

from __future__ import annotations

import math
import os.path
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hf_rspin.audio import read_audio
from hf_rspin.data.corpus import load_corpus
from hf_rspin.evaluation.conditions.bands import HighPass, LowPass, Resampling
from hf_rspin.evaluation.conditions.base import CLEAN, Clean, Distortion
from hf_rspin.evaluation.conditions.clipping import Clipping
from hf_rspin.evaluation.conditions.codecs import Compression, Telephone
from hf_rspin.evaluation.conditions.echo import Echo
from hf_rspin.evaluation.conditions.graded import DEFAULT_SEVERITY, SEVERITIES
from hf_rspin.evaluation.conditions.noise import (
    Babble,
    BackgroundNoise,
    GaussianNoise,
    SpeechPool,
)
from hf_rspin.evaluation.conditions.packet_loss import PacketLoss
from hf_rspin.evaluation.conditions.pitch import PitchShift
from hf_rspin.evaluation.conditions.rooms import Reverberation, synthesize_rirs
from hf_rspin.nearby import did_you_mean
from hf_rspin.resources import sample_noises
from hf_rspin.views.noise_bank import NoiseBank

SYNTHETIC = "synthetic"  # noise that needs no recordings


@dataclass(frozen=True)
class Material:
    """What conditions are made of; see `make_conditions`."""

    noise: str | Path | None
    seen_split: str | None
    unseen_split: str | None
    rooms: str | Path | None
    simulated_rooms: int
    babble_pool: SpeechPool | None
    speakers: Mapping[str, str | None] | None
    seed: int


def _recorded(name: str, split: str | None, material: Material) -> Callable[..., Distortion]:
    """Return a maker of `BackgroundNoise` from one split of the noise folder, or all of it."""
    if material.noise == SYNTHETIC:
        kind = "seen" if name == "noise_seen" else "unseen"
        bank = NoiseBank(list(sample_noises(kind, seed=material.seed + 2).values()))
        source = f"synthetic noise of {kind} kinds"
        return partial(BackgroundNoise, bank, seed=material.seed, name=name, source=source)
    if split is not None and "split" not in load_corpus(material.noise).column_names:
        raise ValueError(
            f"the condition {name} got the noise folder {str(material.noise)!r} without splits, "
            "expected metadata.csv with a column `split`: add it, or ask for `noise`, all of it."
        )
    bank = NoiseBank(load_corpus(material.noise, split=split)["audio"])
    source = f"folder {Path(material.noise).name}" + (f", split {split}" if split else "")
    return partial(BackgroundNoise, bank, seed=material.seed, name=name, source=source)


def _reverberation(material: Material) -> Distortion:
    """Return the simulated and the measured rooms together."""
    count = material.simulated_rooms
    responses, sources = synthesize_rirs(count), [f"{count} simulated rooms"] if count else []
    if material.rooms is not None:
        responses += [read_audio(cell) for cell in load_corpus(material.rooms)["audio"]]
        sources.append(f"{len(responses) - count} of folder {Path(material.rooms).name}")
    return Reverberation(responses, seed=material.seed, source=" and ".join(sources))


# each gives what makes the condition when told `snr_db`
WITH_NOISE: dict[str, Callable[[Material], Callable[..., Distortion]]] = {
    "gaussian": lambda m: partial(GaussianNoise, seed=m.seed),
    "noise": lambda m: _recorded("noise", None, m),
    "noise_seen": lambda m: _recorded("noise_seen", m.seen_split, m),
    "noise_unseen": lambda m: _recorded("noise_unseen", m.unseen_split, m),
    "babble": lambda m: partial(Babble, m.babble_pool, seed=m.seed, speakers=m.speakers),
}
# each is called with the severity and the seed
GRADED: dict[str, Callable[[int, int], Distortion]] = {
    "codec": lambda severity, seed: Compression(severity, seed),
    "telephone": lambda severity, seed: Telephone(severity, seed),
    "lowpass": lambda severity, seed: LowPass(severity),
    "highpass": lambda severity, seed: HighPass(severity),
    "resample": lambda severity, seed: Resampling(severity),
    "clipping": lambda severity, seed: Clipping(severity),
    "echo": lambda severity, seed: Echo(severity),
    "pitch": lambda severity, seed: PitchShift(severity, seed),
    "packet_loss": lambda severity, seed: PacketLoss(severity, seed=seed),
    "packet_loss_repeat": lambda severity, seed: PacketLoss(severity, fill="repeat", seed=seed),
    "packet_loss_burst1": lambda severity, seed: PacketLoss(severity, 1.0, seed=seed),
    "packet_loss_burst1_repeat": lambda severity, seed: PacketLoss(severity, 1.0, "repeat", seed),
}
OTHERS: dict[str, Callable[[Material], Distortion]] = {
    CLEAN: lambda m: Clean(),
    "reverb": _reverberation,
}
CONDITIONS = (CLEAN, *WITH_NOISE, "reverb", *GRADED)
ALIASES = {"seen_noise": "noise_seen", "unseen_noise": "noise_unseen", "rooms": "reverb"}


def make_conditions(
    names: Sequence[str],
    snrs_db: Sequence[float] = (0.0,),
    *,
    noise: str | Path | None = None,
    seen_split: str | None = "test",
    unseen_split: str | None = "test_unseen",
    rooms: str | Path | None = None,
    simulated_rooms: int = 5,
    babble_pool: SpeechPool | None = None,
    speakers: Mapping[str, str | None] | None = None,
    severities: Sequence[int] = (DEFAULT_SEVERITY,),
    seed: int = 0,
) -> list[Distortion]:
    """Return the conditions of the given names, in their order.

    Those with noise come once per SNR, those of `GRADED` once per severity.

    Args:
        names: some of `CONDITIONS`; `ALIASES` are understood.
        snrs_db: of all conditions with noise.
        noise: folder of noise recordings, whose splits are the seen and the unseen kinds; or
            "synthetic", see `sample_noises`.
        seen_split: split that `noise_seen` draws from; None: the whole folder.
        unseen_split: split that `noise_unseen` draws from; None: the whole folder.
        rooms: folder of room responses.
        simulated_rooms: room responses to simulate beside them.
        babble_pool: utterances that babble is mixed from, such as an `EvaluationSet`.
        speakers: who says each test utterance (id -> speaker), where those are not in the pool.
        severities: 1 to 4.
        seed: another one draws other noise, rooms, voices, codecs and losses.

    Raises:
        ValueError: a name is unknown, or needs what was not given; an SNR or severity is none.

    Example:
        >>> found = make_conditions(["clean", "gaussian", "lowpass"], [20, 0], severities=[1, 2])
        >>> [condition.name for condition in found]
        ['clean', 'gaussian', 'gaussian', 'lowpass_1', 'lowpass']
    """
    material = Material(
        noise, seen_split, unseen_split, rooms, simulated_rooms, babble_pool, speakers, seed
    )
    wanted = list(dict.fromkeys(ALIASES.get(name, name) for name in names))
    ratios = list(dict.fromkeys(float(ratio) for ratio in snrs_db))
    _check(wanted, ratios, material)
    conditions: list[Distortion] = []
    for name in wanted:
        if name in WITH_NOISE:
            make = WITH_NOISE[name](material)
            conditions += [make(snr_db=ratio) for ratio in ratios]
        elif name in GRADED:
            conditions += [GRADED[name](severity, seed) for severity in dict.fromkeys(severities)]
        else:
            conditions.append(OTHERS[name](material))
    return conditions


def severities_in_words() -> str:
    """Return what the severities 1 to 4 of each kind stand for, with units, for a help text."""
    kinds = (
        "lowpass", "highpass", "resample", "clipping", "echo", "pitch", "packet_loss", "codec",
        "telephone",
    )  # fmt: skip
    return "; ".join(
        f"{kind}: {_in_one([GRADED[kind](severity, 0).describe() for severity in SEVERITIES])}"
        for kind in kinds
    )


def _in_one(texts: Sequence[str]) -> str:
    """Return texts as one that says only once what they begin and end with."""
    words = [text.split() for text in texts]
    first = len(os.path.commonprefix(words))
    last = len(os.path.commonprefix([row[first:][::-1] for row in words]))
    middle = " | ".join(" ".join(row[first : len(row) - last]) for row in words)
    return " ".join([*words[0][:first], middle, *words[0][len(words[0]) - last :]])


def check_names(names: Sequence[str]) -> None:
    """Refuse a name that is no condition's.

    Raises:
        ValueError: the first of them.
    """
    for name in names:
        if name not in (*CONDITIONS, *ALIASES):
            raise ValueError(
                f"got the condition {name!r}, expected some of {', '.join(CONDITIONS)}"
                f"{did_you_mean(name, CONDITIONS)}"
            )


def _check(wanted: Sequence[str], ratios: Sequence[float], material: Material) -> None:
    """Refuse what cannot be made, before anything is read."""
    lacking: dict[str, str] = {}
    if material.noise is None:
        recorded = ("noise", "noise_seen", "noise_unseen")
        lacking |= dict.fromkeys(recorded, "a folder of noise recordings")
    if material.babble_pool is None:
        lacking["babble"] = "utterances of other speakers"
    if material.rooms is None and material.simulated_rooms < 1:
        lacking["reverb"] = "a folder of room responses, or simulated rooms"
    possible = ", ".join(name for name in CONDITIONS if name not in lacking)
    check_names(wanted)
    for name in wanted:
        if name in lacking:
            raise ValueError(
                f"the condition {name} needs {lacking[name]}: give that, or choose among "
                f"{possible}."
            )
        if name in WITH_NOISE and not (ratios and all(map(math.isfinite, ratios))):
            raise ValueError(f"got SNRs {ratios} for {name}, expected at least one number of dB.")
