"""What is left of the voice: F0 in frames and in units of each layer, the speaker in units."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from hf_rspin.audio import FRAME_SHIFT, FRAME_WINDOW, SAMPLING_RATE
from hf_rspin.evaluation.conditions import Distortion
from hf_rspin.evaluation.evaluation_set import EvaluationSet
from hf_rspin.evaluation.measures.bootstrap import bootstrap_interval
from hf_rspin.evaluation.measures.correlation import correlation_interval
from hf_rspin.evaluation.measures.error_rates import ErrorCounts
from hf_rspin.evaluation.probes.base import CleanFeatures, Metric, Probe, Row
from hf_rspin.evaluation.probes.speaker_probe import SpeakerProbe
from hf_rspin.evaluation.probes.units import fit_units, labels_at
from hf_rspin.evaluation.splits import split_within_speakers
from hf_rspin.views.speaker_perturbation.pitch import track_voice

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

MAX_FRAMES = 50_000
RIDGE = 1e-3  # of the number of frames: keeps collinear dimensions of equal layers solvable


@dataclass(eq=False)
class VoiceProbe(Probe):
    """F0 read from single frames and from units; who speaks, read from how often units occur.

    What a user of voice conversion asks of content features: how much of the source's voice they
    carry. F0 is that of `track_voice` on the clean utterance, in its own range, in semitones, of
    voiced frames; a linear regression on frames of a layer, or the mean F0 of its k-means unit,
    predicts it. Both learn from clean utterances of the training split; speakers are named as in
    `sid`, from part of their own test utterances.

    Args:
        num_units: clusters per layer.
        standardize: see `UnitProbe`.
        max_utterances: of training speech, spread over the speakers; None: all.
        seed: of clusters and choices.
    """

    name = "voice"
    seeded = True
    metrics = (
        Metric(
            "f0_correlation", "Pitch of the voice, read from frames", "F0 correlation",
            "Pearson's correlation of log F0 and of what a linear regression on a single frame of "
            "a layer makes of it, over the voiced frames of all test speakers. Lower: less of the "
            "voice is left.",
            in_summary=False, layer_of="pnmi",
        ),
        Metric(
            "intonation_correlation", "Intonation, read from frames", "intonation correlation",
            "The same with the mean of each utterance taken away: the melody, whoever speaks.",
            plotted=False, in_summary=False, layer_of="pnmi",
        ),
        Metric(
            "unit_f0_correlation", "Pitch of the voice, read from units", "F0 correlation (units)",
            "Pearson's correlation of log F0 and of the mean log F0 of the frame's k-means unit.",
            in_summary=False, layer_of="pnmi",
        ),
        Metric(
            "unit_speaker_accuracy", "Speakers: who speaks, read from units",
            "speaker accuracy (units), %",
            "How often a linear probe on how often each unit occurs in an utterance names its "
            "speaker; it was trained on clean speech of the same speakers.",
            percent=True, digits=1, in_summary=False, layer_of="pnmi",
        ),
    )  # fmt: skip

    num_units: int = 64
    standardize: bool = False
    max_utterances: int | None = 200
    seed: int = 0

    def __post_init__(self) -> None:
        if self.num_units < 2:
            raise ValueError(f"got num_units {self.num_units}; expected 2 or more.")

    def reason_to_skip(self, test: EvaluationSet, train: EvaluationSet | None) -> str | None:
        """F0 is learned from other utterances than those measured."""
        if train is None:
            return "F0 in frames and units is left out: the corpus has no training split."
        return None

    def remark(self, test: EvaluationSet) -> str | None:
        """Say why no speakers are named."""
        reason = _reason_without_speakers(test)
        return reason and f"Speakers in units are left out: {reason}"

    def fit(self, features: CleanFeatures, state: Path) -> None:
        """Learn F0 of frames, units, and F0 and speakers of units, from clean speech."""
        chosen = features.train.subset(self.max_utterances, self.seed)
        store, rows = features.of_train(chosen)
        pitch = [semitones(chosen.read(i), store.lengths[row]) for i, row in enumerate(rows)]
        voiced = np.flatnonzero(np.isfinite(np.concatenate(pitch)))
        if len(voiced) < self.num_units:
            raise ValueError(
                f"the training speech has {len(voiced)} voiced frames; expected {self.num_units} "
                "or more: is it speech?"
            )
        kept = np.random.default_rng(self.seed).permutation(voiced)[:MAX_FRAMES]
        truth = np.concatenate(pitch)
        self._regressions, self._kmeans, self._unit_pitch = [], [], []
        for layer in range(store.num_layers):
            frames = [store.layer(row, layer).numpy() for row in rows]
            everything = np.concatenate(frames)
            self._regressions.append(fit_frames(everything[kept], truth[kept]))
            self._kmeans.append(fit_units(frames, self.num_units, self.seed, self.standardize))
            units = self._kmeans[-1].predict(everything)
            self._unit_pitch.append(_mean_of_units(units[voiced], truth[voiced], self.num_units))
        self._learn_test(features)

    def _learn_test(self, features: CleanFeatures) -> None:
        """Track the test speech, and learn its speakers from part of their utterances."""
        test, store = features.test, features.test_store
        self._pitch = [semitones(test.read(i), store.lengths[i]) for i in range(len(test))]
        if not any(np.isfinite(pitch).any() for pitch in self._pitch):
            raise ValueError("the test speech has no voiced frame: is it speech?")
        self._speakers = test.groups()
        self._tested = np.empty(0, dtype=np.int64)
        if _reason_without_speakers(test) is None:
            known, self._tested = split_within_speakers(test.speakers)
            counts = np.stack([self._histograms(self._units(store.peek(i))) for i in known])
            self._probe = SpeakerProbe().fit(counts, [self._speakers[i] for i in known])

    def begin(self, condition: Distortion) -> None:
        """Forget what was found."""
        self._found: list[tuple[np.ndarray, np.ndarray]] = []
        self._counts: list[np.ndarray] = []

    def update(self, index: int, features: Tensor) -> None:
        """Predict F0 of the voiced frames of one utterance; count its units."""
        voiced = np.isfinite(self._pitch[index])
        units = self._units(features)
        pairs = zip(self._regressions, features, strict=True)
        if voiced.any():
            of_frames = np.stack([one.predict(x[voiced].double().numpy()) for one, x in pairs])
        else:
            of_frames = np.empty((len(units), 0))
        of_units = np.stack(
            [pitch[u[voiced]] for pitch, u in zip(self._unit_pitch, units, strict=True)]
        )
        self._found.append((of_frames, of_units))
        self._counts.append(self._histograms(units))

    def rows(self) -> list[Row]:
        """Return the numbers of each layer, with bootstrap intervals over speakers."""
        truth = [pitch[np.isfinite(pitch)] for pitch in self._pitch]
        rows = []
        for layer in range(len(self._kmeans)):
            frames, units = ([pair[k][layer] for pair in self._found] for k in (0, 1))
            for metric, found, within in (
                ("f0_correlation", frames, False),
                ("intonation_correlation", frames, True),
                ("unit_f0_correlation", units, False),
            ):
                one = correlation_interval(truth, found, self._speakers, within)
                rows.append(Row.of_interval(metric, one, layer))
        return rows + (self._speaker_rows() if len(self._tested) else [])

    def _speaker_rows(self) -> list[Row]:
        names = [self._speakers[i] for i in self._tested]
        counts = np.stack([self._counts[i] for i in self._tested])
        rows = []
        for layer, right in enumerate(self._probe.correct(counts, names)):
            errors = ErrorCounts(right.astype(int), np.ones(len(right), int))
            one = bootstrap_interval(errors, names)
            rows.append(Row.of_interval("unit_speaker_accuracy", one, layer))
        return rows

    def _units(self, features: Tensor) -> np.ndarray:
        """(layers, frames, dim) -> (layers, frames)."""
        pairs = zip(self._kmeans, features, strict=True)
        return np.stack([kmeans.predict(layer.numpy()) for kmeans, layer in pairs])

    def _histograms(self, units: np.ndarray) -> np.ndarray:
        """(layers, frames) -> shares of the units, (layers, units)."""
        counts = np.stack([np.bincount(row, minlength=self.num_units) for row in units])
        return counts / max(1, units.shape[1])


def fit_frames(frames: np.ndarray, values: np.ndarray) -> Pipeline:
    """Fit a linear regression of values (frames,) on standardised frames (frames, dim)."""
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    probe = make_pipeline(StandardScaler(), Ridge(alpha=RIDGE * len(frames)))
    return probe.fit(frames.astype(np.float64), values)


def semitones(waveform: np.ndarray, frames: int) -> np.ndarray:
    """Return log F0 at the frames of an encoder, in semitones above 1 Hz, nan where unvoiced.

    Args:
        waveform: (samples,) at 16 kHz.
        frames: of the encoder, of 20 ms or a multiple of it.
    """
    count = max(1, (len(waveform) - FRAME_WINDOW) // FRAME_SHIFT + 1)
    track = track_voice(waveform, SAMPLING_RATE)
    if track is None or len(track.times) == 0:
        return np.full(frames, np.nan)
    centres = (np.arange(count) * FRAME_SHIFT + FRAME_WINDOW / 2) / SAMPLING_RATE
    nearest = np.searchsorted((track.times[1:] + track.times[:-1]) / 2, centres)
    hertz = track.frequencies[nearest]
    far = np.abs(track.times[nearest] - centres) > track.time_step  # beyond the track's ends
    voiced = (hertz > 0) & ~far
    pitch = np.full(count, np.nan)
    pitch[voiced] = 12 * np.log2(hertz[voiced])
    return labels_at(pitch, frames)


def _mean_of_units(units: np.ndarray, values: np.ndarray, num_units: int) -> np.ndarray:
    """Return the mean value of each unit; that of all for a unit that never occurs."""
    counts = np.bincount(units, minlength=num_units)
    sums = np.bincount(units, values, minlength=num_units)
    return np.where(counts > 0, sums / np.maximum(counts, 1), values.mean())


def _reason_without_speakers(test: EvaluationSet) -> str | None:
    if test.speakers is None:
        return "the recordings have no speaker names."
    try:
        split_within_speakers(test.speakers)
    except ValueError as error:
        return str(error)
    return None
