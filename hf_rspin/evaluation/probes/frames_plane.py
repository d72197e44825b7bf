"""Frames of a layer on a plane (t-SNE): do they lie by phone, by speaker, or by distortion?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hf_rspin.data.phone_times import SILENCE
from hf_rspin.evaluation.conditions import CLEAN, Distortion
from hf_rspin.evaluation.evaluation_set import EvaluationSet
from hf_rspin.evaluation.feature_store import FeatureStore
from hf_rspin.evaluation.probes.base import CleanFeatures, Drawing, Probe, Row
from hf_rspin.evaluation.probes.tokens import pool
from hf_rspin.evaluation.probes.units import labels_at

if TYPE_CHECKING:
    from hf_rspin.evaluation.cells import Cell

PERPLEXITY = 30.0
LEAST_FRAMES = 10
NOBODY = "frames"  # what the frames of unknown speakers are called


class Frame(NamedTuple):
    """A frame of speech.

    Attributes:
        utterance: its place in the test set.
        frame: of the encoder.
        speaker: of it.
        phone: "" where it is not known.
    """

    utterance: int
    frame: int
    speaker: str
    phone: str


@dataclass(eq=False)
class FramesPlane(Probe):
    """A picture without numbers: t-SNE of frames, labelled by phone (R-Spin, Figures 3, 7, 11-16).

    Of clean speech the speakers have the colours; of distorted speech, clean and distorted have:
    the same frames of both. Silence is left out where there are alignments.

    Args:
        layer: which; negative ones count from the last; of encoders with fewer, the nearest.
        num_speakers: drawn; where speakers are not known, utterances of anybody.
        max_frames: points, shared by the speakers.
        seed: of speakers, frames and t-SNE.
    """

    name = "tsne"
    metrics = ()

    layer: int = -1
    num_speakers: int = 5
    max_frames: int = 1500
    seed: int = 0

    def __post_init__(self) -> None:
        if self.num_speakers < 1:
            raise ValueError(f"got num_speakers {self.num_speakers}; expected 1 or more.")
        if self.max_frames < 2 * LEAST_FRAMES:
            raise ValueError(
                f"got max_frames {self.max_frames}; expected {2 * LEAST_FRAMES} or more."
            )

    def reason_to_skip(self, test: EvaluationSet, train: EvaluationSet | None) -> str | None:
        """Check the alignments, where there are any; nothing is needed."""
        test.check_alignments()
        return None

    def remark(self, test: EvaluationSet) -> str | None:
        """Name what the picture lacks."""
        lacks = []
        if test.alignments is None:
            lacks.append("phone alignments, so that silence is drawn too and nothing is labelled")
        if test.speakers is None:
            lacks.append("speaker names, so that all frames of clean speech have one colour")
        if not lacks:
            return None
        return f"Frames on a plane: the recordings have no {', and no '.join(lacks)}."

    def fit(self, features: CleanFeatures, state: Path) -> None:
        """Draw the frames to look at, the same in every condition."""
        self._clean = features.test_store
        layers = self._clean.num_layers
        place = self.layer if self.layer >= 0 else layers + self.layer
        self._layer = min(max(place, 0), layers - 1)
        of_speakers = _frames_of_speech(features.test, self._clean.lengths)
        generator = np.random.default_rng(self.seed)
        names = sorted(of_speakers)
        share = self.max_frames // max(min(self.num_speakers, len(names)), 1)
        names = [names[i] for i in generator.permutation(len(names))]
        names.sort(key=lambda name: len(of_speakers[name]) < share)  # those with enough first
        self._frames: list[Frame] = []
        for name in names[: self.num_speakers]:
            found = of_speakers[name]
            drawn = generator.permutation(len(found))[:share]
            self._frames += [found[i] for i in np.sort(drawn)]
        if len(self._frames) < LEAST_FRAMES:
            raise ValueError(
                f"got {len(self._frames)} frames of speech for t-SNE; expected {LEAST_FRAMES} or "
                "more: check the alignment, or leave tsne out."
            )

    def begin(self, condition: Distortion) -> None:
        """Remember what comes."""
        self._condition = condition.name

    def finish(self, store: FeatureStore) -> None:
        """Lay out the frames; of distorted speech every second one, beside the clean ones."""
        if self._condition == CLEAN:
            chosen, names = self._frames, list(dict.fromkeys(f.speaker for f in self._frames))
            values = self._values(store, chosen)
            colors = [names.index(frame.speaker) for frame in chosen]
        else:
            chosen, names = self._frames[::2], [CLEAN, self._condition]
            parts = [self._values(one, chosen) for one in (self._clean, store)]
            values, colors = np.concatenate(parts), np.repeat([0, 1], len(chosen)).tolist()
            chosen = [*chosen, *chosen]
        self._details = {
            "layer": self._layer, "names": names, "colors": colors,
            "phones": [frame.phone for frame in chosen] if chosen[0].phone else None,
            "points": [[round(float(x), 2) for x in row] for row in _on_a_plane(values, self.seed)],
        }  # fmt: skip

    def rows(self) -> list[Row]:
        """Return nothing: a picture has no number."""
        return []

    def details(self) -> dict[str, Any]:
        """Return points, colours (numbers of `names`) and phones."""
        return self._details

    @classmethod
    def draw(cls, cells: Sequence[Cell]) -> list[Drawing]:
        """Draw every encoder and condition; of several seeds the first."""
        places: dict[tuple, Cell] = {}
        for cell in cells:
            places.setdefault((cell.encoder, cell.condition, cell.snr_db), cell)
        return [_draw(cell) for cell in places.values()]

    def _values(self, store: FeatureStore, chosen: Sequence[Frame]) -> np.ndarray:
        """Return the drawn frames of the layer, (frames, dim)."""
        places = np.array([(one.utterance, one.frame, one.frame + 1) for one in chosen])
        return pool(store, self._layer, places)


def _frames_of_speech(test: EvaluationSet, lengths: Sequence[int]) -> dict[str, list[Frame]]:
    """Return the frames of each known speaker, but silence; of nobody where none is known."""
    speakers = test.speakers if any(test.speakers or ()) else [NOBODY] * len(test)
    named = test.phones_of_frames() if test.alignments is not None else None
    found: dict[str, list[Frame]] = {}
    for index, (speaker, count) in enumerate(zip(speakers, lengths, strict=True)):
        if speaker is None:
            continue
        phones = [""] * count if named is None else labels_at(np.array(named[index]), count)
        frames = [Frame(index, i, speaker, str(p)) for i, p in enumerate(phones) if p != SILENCE]
        if frames:
            found.setdefault(speaker, []).extend(frames)
    return found


def _on_a_plane(values: np.ndarray, seed: int) -> np.ndarray:
    """Return the t-SNE of frames (frames, dim), (frames, 2)."""
    from sklearn.manifold import TSNE

    if not np.ptp(values, axis=0).any():
        return np.zeros((len(values), 2))  # a layer that collapsed to a point
    perplexity = min(PERPLEXITY, (len(values) - 1) / 3)
    tsne = TSNE(2, perplexity=perplexity, init="pca", random_state=seed)
    return tsne.fit_transform(values.astype(np.float32))


def _draw(cell: Cell) -> Drawing:
    from hf_rspin.evaluation.plots import plot_frames

    found, clean = cell.details, cell.condition == CLEAN
    ratio = "" if cell.snr_db is None else f", {cell.snr_db:g} dB"
    label = cell.condition.replace("_", " ") + ratio
    names = found["names"] if clean else [CLEAN, label]
    colors = [names[color] for color in found["colors"]]
    figure = plot_frames(np.array(found["points"]), colors, found["phones"])
    what = "speaker" if clean else "condition, the same frames in both"
    phones = "" if found["phones"] is None else (
        " Letters: each phone at the middle of its frames; silence is left out."
    )  # fmt: skip
    return Drawing(
        f"Frames of {cell.encoder}, layer {found['layer']}, {label}", figure,
        f"t-SNE of {len(colors)} frames, coloured by {what}.{phones} Distances between far groups "
        "mean nothing; colours that mix mean that the layer does not tell them apart.",
    )  # fmt: skip
