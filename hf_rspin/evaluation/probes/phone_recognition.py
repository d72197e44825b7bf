"""Phone recognition: SUPERB's probe on all layers, trained on clean speech."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from hf_rspin.evaluation.conditions import CLEAN, Distortion
from hf_rspin.evaluation.evaluation_set import EvaluationSet
from hf_rspin.evaluation.measures.bootstrap import bootstrap_interval
from hf_rspin.evaluation.measures.error_rates import ErrorCounts, count_errors
from hf_rspin.evaluation.phone_labels import PhoneVocabulary
from hf_rspin.evaluation.probes.base import CleanFeatures, Metric, Probe, Row, layer_rows
from hf_rspin.evaluation.probes.phone_probe import PhoneProbe, ProbeArguments, train_probe
from hf_rspin.evaluation.splits import hold_out_speakers
from hf_rspin.utils import write_json

_WEIGHTS, _FACTS = "probe.safetensors", "training.json"


@dataclass(eq=False)
class PhoneRecognition(Probe):
    """Phone error rate of `PhoneProbe`, with 95 % bootstrap intervals over speakers.

    A tenth of the training speakers is held out to choose the best weights.

    Args:
        arguments: how the probe is trained; default those of `ProbeArguments`.
        seed: of the speakers held out.
    """

    name = "phones"
    metrics = (
        Metric(
            "phone_error_rate", "Phones recognised from frozen features", "phone error rate, %",
            "Phone error rate of a linear probe on all layers (lower is better), with 95 % "
            "bootstrap intervals over speakers. The probe was trained on clean speech only.",
            percent=True, digits=1,
        ),
        Metric(
            "layer_weight", "Layers that the phone probe reads", "weight",
            "Weight of each layer in the sum that the phone probe reads, times the mean norm of "
            "the layer, scaled to sum 1.",
            conditions="clean", in_summary=False,
        ),
    )  # fmt: skip

    arguments: ProbeArguments = field(default_factory=ProbeArguments)
    seed: int = 0

    def reason_to_skip(self, test: EvaluationSet, train: EvaluationSet | None) -> str | None:
        """Name the missing labels."""
        if train and train.phones and train.speakers and test.phones:
            if len(set(train.speakers) - {None}) > 1:
                return None
            return "Phone recognition is left out: its training utterances have one speaker only."
        return (
            "Phone recognition is left out: it needs a training split, and the phones of both "
            "splits (columns split, speaker and phones)."
        )

    def fit(self, features: CleanFeatures, state: Path) -> None:
        """Train the probe, or take the one that a stopped run trained."""
        self._references = [" ".join(phones) for phones in features.test.phones]
        self._speakers = features.test.speakers and [name or "" for name in features.test.speakers]
        if not (state / _FACTS).is_file():  # written last
            self._train(features, state)
        self._facts = json.loads((state / _FACTS).read_text())
        self._probe = _load(state / _WEIGHTS, features, self.arguments)

    def _train(self, features: CleanFeatures, state: Path) -> None:
        train, dev = hold_out_speakers(features.train.speakers, seed=self.seed)
        store = features.train_store
        training = train_probe(store, features.train.phones, train, dev, self.arguments)
        weights = training.probe.layers.normalized_weights(store.layer_norms)
        state.mkdir(parents=True, exist_ok=True)
        phones = json.dumps(training.probe.vocabulary.phones)
        save_file(training.probe.state_dict(), state / _WEIGHTS, {"phones": phones})
        facts = {"dev_per": training.dev_per, "history": training.history}
        write_json(state / _FACTS, facts | {"layer_weights": weights.tolist()})

    def begin(self, condition: Distortion) -> None:
        """Forget the predictions."""
        self._is_clean = condition.name == CLEAN
        self._predictions: list[str] = []

    def update(self, index: int, features: Tensor) -> None:
        """Recognise one utterance."""
        self._predictions.append(self._probe.recognize(features))

    def rows(self) -> list[Row]:
        """Return the error rate; for the clean condition the weights of the layers too."""
        found = bootstrap_interval(self._counts(), self._speakers)
        rows = [Row("phone_error_rate", found.value, None, found.low, found.high)]
        if self._is_clean:
            rows += layer_rows("layer_weight", self._facts["layer_weights"])
        return rows

    def details(self) -> dict:
        """Return errors and lengths per utterance; for the clean condition how training went."""
        counts = self._counts()
        found = {"errors": counts.errors.tolist(), "lengths": counts.lengths.tolist()}
        found["groups"] = self._speakers
        if self._is_clean:
            found |= {name: self._facts[name] for name in ("dev_per", "history")}
        return found

    def _counts(self) -> ErrorCounts:
        return count_errors(self._references, self._predictions)


def _load(file: Path, features: CleanFeatures, arguments: ProbeArguments) -> PhoneProbe:
    with safe_open(file, "pt") as saved:
        vocabulary = PhoneVocabulary(tuple(json.loads(saved.metadata()["phones"])))
        state: dict[str, torch.Tensor] = {key: saved.get_tensor(key) for key in saved.keys()}
    encoder_features = features.encoder_features
    probe = PhoneProbe(
        encoder_features.num_layers, encoder_features.dim, vocabulary, arguments.projection_size
    )
    probe.load_state_dict(state)
    return probe.eval()
