"""What phone and speech recognition share: a probe learns texts of clean speech, then hears."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from hf_rspin.audio import FRAME_SHIFT
from hf_rspin.evaluation.conditions import CLEAN, Distortion
from hf_rspin.evaluation.evaluation_set import EvaluationSet
from hf_rspin.evaluation.measures.bootstrap import bootstrap_interval
from hf_rspin.evaluation.measures.error_rates import ErrorCounts
from hf_rspin.evaluation.probe_arguments import ProbeArguments
from hf_rspin.evaluation.probes.base import CleanFeatures, Probe, Row
from hf_rspin.evaluation.probes.frame_rate import frame_factor
from hf_rspin.evaluation.probes.trained.base import TrainedProbe
from hf_rspin.evaluation.probes.trained.examples import Utterances
from hf_rspin.evaluation.probes.trained.folder import (
    is_probe,
    load_probe,
    read_training,
    save_probe,
)
from hf_rspin.evaluation.probes.trained.loop import Task
from hf_rspin.evaluation.probes.trained.training import train_probe
from hf_rspin.evaluation.splits import hold_out_speakers

logger = logging.getLogger(__name__)

# of the training, in the clean condition
TOLD = ("learning_rate", "search", "dev_error", "guessing_error", "dev_loss", "history")


def told(training: dict[str, Any]) -> dict[str, Any]:
    """Return what the clean condition tells of a training; earlier versions knew less."""
    return {name: training[name] for name in TOLD if name in training}


def same_seed(arguments: ProbeArguments, seed: int | None) -> ProbeArguments:
    """Return the arguments with a seed, or as they are for None."""
    return arguments if seed is None else replace(arguments, seed=seed)


def train_in_folder(
    make: Callable[[], TrainedProbe],
    task: Task,
    arguments: ProbeArguments,
    folder: Path,
    encoder: str,
) -> int:
    """Train a probe and write its folder, see `load_probe`; return the updates made.

    Args:
        make: see `train_probe`.
        task: see `train_probe`.
        arguments: see `train_probe`.
        folder: for the probe.
        encoder: what the features are of.
    """
    training = train_probe(make, task, arguments)
    layers = training.probe.layers.normalized_weights(task.examples.store.layer_norms)
    guessing = training.probe.guessing_error([task.texts[i] for i in task.dev])
    if training.dev_error >= guessing:
        logger.warning(
            "The %s probe of %s learned nothing (dev error %.1f %%): give another --learning_rate, "
            "or more updates (--num_updates).",
            training.probe.kind, encoder, 100 * training.dev_error,
        )  # fmt: skip
    about = {
        "layer_weights": layers.tolist(), "encoder": encoder, "settings": arguments.settings(),
        "guessing_error": guessing,
    }  # fmt: skip
    save_probe(folder, training.probe, training.facts() | about)
    return training.updates


@dataclass(eq=False)
class RecognitionProbe(Probe):
    """A probe that recognises texts, trained on those of the training split.

    A tenth of the training speakers is held out to choose the best weights and the learning rate.
    Test utterances without a text are left out; what training never had counts as an error.

    Args:
        arguments: how the probe is trained; default those of `ProbeArguments`.
        seed: of the speakers held out and of the training; default that of `arguments`.
        device: to train and recognise on; no part of the settings.
    """

    what: ClassVar[str]  # in sentences
    column: ClassVar[str]  # of the corpus
    seeded: ClassVar[bool] = True

    arguments: ProbeArguments = field(default_factory=ProbeArguments)
    seed: int | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        self.arguments = same_seed(self.arguments, self.seed)
        self.seed = self.arguments.seed

    @abstractmethod
    def texts(self, utterances: EvaluationSet) -> list[str] | None:
        """Return the text of each utterance, as the probe learns it; None where there are none."""

    @abstractmethod
    def make(self, num_layers: int, dim: int, tokens: Sequence[str], shift: int) -> TrainedProbe:
        """Return a fresh probe for the tokens that occur; a frame lasts `shift` samples."""

    @abstractmethod
    def tokens(self, text: str) -> list[str]:
        """Return the tokens of a text."""

    @abstractmethod
    def counts(self) -> ErrorCounts:
        """Return the errors in what was heard under the condition, that of the first row."""

    def settings(self) -> dict[str, Any]:
        """Return what decides its numbers."""
        found = asdict(self) | {"arguments": self.arguments.settings()}
        del found["device"]
        return found

    def reason_to_skip(self, test: EvaluationSet, train: EvaluationSet | None) -> str | None:
        """Name the missing labels."""
        known = [part is not None and any(self.texts(part) or ()) for part in (train, test)]
        if not (all(known) and train.speakers):
            return (
                f"{self.what} is left out: it needs a training split, and the {self.column} of "
                f"both splits (columns split, speaker and {self.column})."
            )
        if len(set(train.speakers) - {None}) < 2:
            return f"{self.what} is left out: its training utterances have one speaker only."
        return None

    def fit(self, features: CleanFeatures, state: Path) -> None:
        """Train the probe, or take the one that a stopped run trained."""
        texts = self.texts(features.test)
        self._tested = [index for index, text in enumerate(texts) if text]
        self.references = [texts[index] for index in self._tested]
        self._ids = [features.test.ids[index] for index in self._tested]
        speakers = features.test.speakers
        self.groups = speakers and [features.test.groups()[index] for index in self._tested]
        self.updates = 0
        if not is_probe(state):
            self._train(features, state)
        self._probe, self.training = load_probe(state, self.device), read_training(state)

    def _train(self, features: CleanFeatures, state: Path) -> None:
        store, texts = features.train_store, self.texts(features.train)
        train, dev = hold_out_speakers(features.train.speakers, seed=self.seed)
        tokens = sorted({token for index in train for token in self.tokens(texts[index])})
        shift = FRAME_SHIFT * frame_factor(features.train, store)

        def make() -> TrainedProbe:
            return self.make(store.num_layers, store.dim, tokens, shift)

        progress = features.bar is None or not features.bar.disable
        task = Task(Utterances(store), texts, train, dev, self.device, progress)
        name = features.encoder_features.name
        self.updates = train_in_folder(make, task, self.arguments, state, name)

    def begin(self, condition: Distortion) -> None:
        """Forget what was heard."""
        self.is_clean = condition.name == CLEAN
        self._heard: dict[int, str] = {}

    def update(self, index: int, features: Tensor) -> None:
        """Recognise one utterance."""
        self._heard[index] = self._probe.recognize(features)

    @property
    def predictions(self) -> list[str]:
        """What was heard, beside `references`."""
        return [self._heard[index] for index in self._tested]

    def rate(self, metric: str, counts: ErrorCounts) -> Row:
        """Return an error rate with its interval over speakers."""
        found = bootstrap_interval(counts, self.groups)
        return Row.of_interval(metric, found)

    def details(self) -> dict[str, Any]:
        """Return errors, lengths and speakers of utterances; of clean speech the training too."""
        counts = self.counts()
        found = {
            "ids": self._ids, "errors": counts.errors.tolist(), "lengths": counts.lengths.tolist(),
            "groups": self.groups,
        }  # fmt: skip
        return found | (told(self.training) if self.is_clean else {})
