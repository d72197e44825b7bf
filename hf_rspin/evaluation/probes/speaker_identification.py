"""How much each layer, and all of them together, say about who speaks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from torch import Tensor

from hf_rspin.audio import FRAME_SHIFT, SAMPLING_RATE
from hf_rspin.evaluation.conditions import CLEAN, Distortion
from hf_rspin.evaluation.evaluation_set import EvaluationSet
from hf_rspin.evaluation.feature_store import FeatureStore
from hf_rspin.evaluation.measures.bootstrap import bootstrap_interval
from hf_rspin.evaluation.measures.error_rates import ErrorCounts
from hf_rspin.evaluation.probe_arguments import ProbeArguments
from hf_rspin.evaluation.probes.base import CleanFeatures, Metric, Probe, Row, layer_rows
from hf_rspin.evaluation.probes.frame_rate import frame_factor
from hf_rspin.evaluation.probes.speaker_probe import SpeakerProbe
from hf_rspin.evaluation.probes.trained.examples import CroppedMeans
from hf_rspin.evaluation.probes.trained.folder import is_probe, load_probe, read_training
from hf_rspin.evaluation.probes.trained.loop import Task
from hf_rspin.evaluation.probes.trained.models import UtteranceProbe
from hf_rspin.evaluation.probes.trained.recognition import same_seed, told, train_in_folder
from hf_rspin.evaluation.splits import split_within_speakers


@dataclass(eq=False)
class SpeakerIdentification(Probe):
    """Who speaks: `UtteranceProbe` on all layers, and `SpeakerProbe` on each of them.

    Both learn from clean speech and are tested on other utterances of the same speakers; a speaker
    that training had not counts as an error. 95 % bootstrap intervals over speakers.

    Args:
        learn_from: "test": part of each speaker's test utterances (of a corpus whose training
            speakers are others); "train": the training utterances, of the same speakers.
        seed: of the training; default that of `arguments`.
        arguments: how the probe on all layers is trained.
        all_layers: train it; otherwise only one probe per layer.
        crop_samples: at 16 kHz; longer utterances are cropped to it while that is trained.
        split_seed: of the utterances of the test split to test on; not `seed`, so that those of
            several trainings are the same.
        device: to train it on; no part of the settings.
    """

    name = "sid"
    seeded: ClassVar[bool] = True
    metrics = (
        Metric(
            "sid_accuracy", "Speakers: who speaks, read from all layers",
            "speaker accuracy (all layers), %",
            "How often SUPERB's probe (a weighted sum of all layers, two linear layers, a mean "
            "over time) names the speaker of an utterance; it was trained on clean speech of the "
            "same speakers. Lower: less of the speaker is left anywhere in the encoder.",
            percent=True, digits=1, counts="correct",
        ),
        Metric(
            "speaker_accuracy", "Speakers: who speaks, read from each layer", "speaker accuracy, %",
            "How often a linear probe on the mean of an utterance names its speaker; it was "
            "trained on clean speech of the same speakers. Lower: less of the speaker is left in "
            "that layer. Under distortions the probe also fails because the features moved.",
            percent=True, digits=1, conditions="clean", layer_of="pnmi",
        ),
        Metric(
            "sid_layer_weight", "Layers that the speaker probe reads", "weight",
            "Weight of each layer in the sum that the speaker probe reads, times the mean norm of "
            "the layer, scaled to sum 1.",
            conditions="clean", in_summary=False, share=True,
        ),
    )  # fmt: skip

    learn_from: Literal["test", "train"] = "test"
    seed: int | None = None
    arguments: ProbeArguments = field(default_factory=ProbeArguments)
    all_layers: bool = True
    crop_samples: int = 8 * SAMPLING_RATE
    split_seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.learn_from not in ("test", "train"):
            raise ValueError(f"got learn_from {self.learn_from!r}; expected test or train.")
        if self.crop_samples < 1:
            raise ValueError(f"got crop_samples {self.crop_samples}; expected 1 or more.")
        self.arguments = same_seed(self.arguments, self.seed)
        self.seed = self.arguments.seed

    @property
    def learns_from_test(self) -> bool:
        """Part of each speaker's test utterances may be what is learned from."""
        return self.learn_from == "test"

    def settings(self) -> dict[str, Any]:
        """Return what decides its numbers: nothing of a training that is not done."""
        found = asdict(self) | {"arguments": self.arguments.settings()}
        unused = ["device"] + ([] if self.all_layers else ["arguments", "crop_samples"])
        return {name: value for name, value in found.items() if name not in unused}

    def reason_to_skip(self, test: EvaluationSet, train: EvaluationSet | None) -> str | None:
        """Name the missing speakers."""
        learned = test if self.learn_from == "test" else train
        if test.speakers is None or learned is None or learned.speakers is None:
            return "Speaker identification is left out: the recordings have no speaker names."
        try:
            if self.learn_from == "test":
                split_within_speakers(test.speakers, seed=self.split_seed)
            elif len(set(train.speakers) - {None}) < 2:
                raise ValueError("the training utterances have one speaker only.")
        except ValueError as error:
            return f"Speaker identification is left out: {error}"
        return None

    def fit(self, features: CleanFeatures, state: Path) -> None:
        """Train on clean utterances, or take the probe that a stopped run trained."""
        speakers = features.test.speakers
        if self.learn_from == "test":
            known, self._tested = split_within_speakers(speakers, seed=self.split_seed)
            utterances, store = features.test, features.test_store
        else:
            known, self._tested = _known(features.train.speakers), _known(speakers)
            utterances, store = features.train, features.train_store
        self.updates = 0
        names = [utterances.speakers[i] for i in known]
        self._layers = SpeakerProbe().fit(store.means()[known], names)
        self._wanted = set(self._tested.tolist())
        self._truth = [speakers[i] for i in self._tested]
        self._ids = [features.test.ids[i] for i in self._tested]
        if not self.all_layers:
            return
        if not is_probe(state):
            self._train(features, utterances, store, known, state)
        self._probe, self._training = load_probe(state, self.device), read_training(state)

    def _train(
        self,
        features: CleanFeatures,
        utterances: EvaluationSet,
        store: FeatureStore,
        known: np.ndarray,
        state: Path,
    ) -> None:
        names = [speaker or "" for speaker in utterances.speakers]
        classes = sorted({names[i] for i in known})
        crop = max(1, self.crop_samples // (FRAME_SHIFT * frame_factor(utterances, store)))
        train, dev = _hold_out_utterances([names[i] for i in known], self.seed)
        progress = features.bar is None or not features.bar.disable
        task = Task(
            CroppedMeans(store, crop), names, known[train].tolist(), known[dev].tolist(),
            self.device, progress,
        )  # fmt: skip

        def make() -> UtteranceProbe:
            size = self.arguments.projection_size
            return UtteranceProbe(store.num_layers, store.dim, classes, size)

        name = features.encoder_features.name
        self.updates = train_in_folder(make, task, self.arguments, state, name)

    def begin(self, condition: Distortion) -> None:
        """Forget the means and the names."""
        self._is_clean = condition.name == CLEAN
        self._means: dict[int, np.ndarray] = {}
        self._named: dict[int, str] = {}

    def update(self, index: int, features: Tensor) -> None:
        """Keep the mean of one utterance, and who is heard in it."""
        if index not in self._wanted:
            return
        self._means[index] = features.mean(1).numpy()
        if self.all_layers:
            self._named[index] = self._probe.recognize(features)

    def rows(self) -> list[Row]:
        """Return the accuracy of the probe on all layers, and of each layer."""
        means = np.stack([self._means[index] for index in self._tested])
        rows = []
        if self.all_layers:
            rows.append(self._accuracy("sid_accuracy", ~self._wrong()))
        for layer, right in enumerate(self._layers.correct(means, self._truth)):
            rows.append(self._accuracy("speaker_accuracy", right, layer))
        if self.all_layers and self._is_clean:
            rows += layer_rows("sid_layer_weight", self._training["layer_weights"])
        return rows

    def details(self) -> dict[str, Any]:
        """Return errors (0 or 1), lengths (1) and speakers; of clean speech the training too."""
        if not self.all_layers:
            return {}
        wrong = self._wrong()
        found = {
            "ids": self._ids, "errors": wrong.astype(int).tolist(), "lengths": [1] * len(wrong),
            "groups": self._truth,
        }  # fmt: skip
        return found | (told(self._training) if self._is_clean else {})

    def _wrong(self) -> np.ndarray:
        return np.array([self._named[i] for i in self._tested]) != np.array(self._truth)

    def _accuracy(self, metric: str, right: np.ndarray, layer: int | None = None) -> Row:
        counts = ErrorCounts(right.astype(int), np.ones(len(right), int))
        found = bootstrap_interval(counts, self._truth)
        return Row.of_interval(metric, found, layer)


def _hold_out_utterances(speakers: Sequence[str], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a tenth of each speaker's utterances to choose the weights on, after the others.

    Of speakers with one utterance, that one is trained on; where there are no others, all are both.
    """
    try:
        _, dev = split_within_speakers(speakers, 0.1, seed)
    except ValueError:
        everything = np.arange(len(speakers))
        return everything, everything
    return np.setdiff1d(np.arange(len(speakers)), dev), dev


def _known(speakers: Sequence[str | None]) -> np.ndarray:
    """Return the indices of utterances whose speaker is known."""
    return np.array([i for i, speaker in enumerate(speakers) if speaker is not None])
