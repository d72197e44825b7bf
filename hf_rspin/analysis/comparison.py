"""One encoder through all test conditions: phones, similarity to clean, speakers."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch

from hf_rspin.analysis.results import ConditionResult, ResultsFile
from hf_rspin.analysis.similarity import StreamingCKA
from hf_rspin.evaluation.distortions import Clean, Distortion
from hf_rspin.evaluation.feature_store import (
    FeatureStore,
    open_store,
    stream_features,
    write_store,
)
from hf_rspin.evaluation.featurizer import FrontEnd
from hf_rspin.evaluation.metrics import count_errors
from hf_rspin.evaluation.phone_labels import PhoneVocabulary
from hf_rspin.evaluation.phone_recognition import (
    PhoneProbe,
    ProbeArguments,
    hold_out_speakers,
    train_probe,
)
from hf_rspin.evaluation.speaker_identification import SpeakerProbe, split_within_speakers
from hf_rspin.evaluation.utterances import Utterances

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ComparisonSettings:
    """What every encoder of a comparison shares.

    Args:
        probe: how the phone probe is trained.
        cka_utterances: CKA is computed on this many test utterances (None: all).
        num_workers: threads that read, distort and encode.
        seed: of the splits and subsets.
    """

    probe: ProbeArguments = field(default_factory=ProbeArguments)
    cka_utterances: int | None = 600
    num_workers: int = 2
    seed: int = 0


class EncoderComparison:
    """Runs encoders through conditions; finished (encoder, condition) pairs are not run again.

    What cannot be measured is left out: phones need `train` and both `phones` columns, speakers a
    `speaker` column with two or more utterances per speaker.
    """

    def __init__(
        self,
        results: ResultsFile,
        test: Utterances,
        conditions: Sequence[Distortion],
        train: Utterances | None = None,
        settings: ComparisonSettings | None = None,
    ) -> None:
        self.results, self.test, self.train = results, test, train
        self.conditions = [Clean(), *(c for c in conditions if c.name != "clean")]
        self.settings = settings or ComparisonSettings()
        self.has_phones = bool(train and train.phones and train.speakers and test.phones)
        if not self.has_phones:
            logger.info("phone recognition is left out: it needs phones of both splits.")
        chosen = test.subset(self.settings.cka_utterances, self.settings.seed)
        self._cka_ids = set(chosen.ids)

    def run(self, front_end: FrontEnd) -> None:
        """Evaluate one encoder in every condition that `results` lacks."""
        self.results.start_encoder(front_end.name, front_end.fingerprint())
        missing = [c for c in self.conditions if not self.results.has(front_end.name, c.name)]
        if not missing:
            logger.info("%s: all conditions are there already.", front_end.name)
            return
        folder = self.results.path.parent / "features" / front_end.name
        probe = self._phone_probe(front_end, folder) if self.has_phones else None
        clean = self._store(front_end, self.test, folder / "test", "test")
        speakers = self._speaker_probe(clean)
        for condition in missing:
            result = self._run_condition(front_end, condition, probe, clean, speakers)
            self.results.add(front_end.name, condition.name, result)
        shutil.rmtree(folder, ignore_errors=True)

    def _run_condition(self, front_end, condition, probe, clean, speakers) -> ConditionResult:
        wall, cpu = time.perf_counter(), time.process_time()
        if isinstance(condition, Clean):
            features = (clean[i] for i in range(len(clean)))
        else:
            features = stream_features(
                front_end,
                lambda i: condition(self.test.read(i), self.test.ids[i]),
                len(self.test), self.settings.num_workers, f"{front_end.name}, {condition.name}",
            )
        predictions, means, cka = [], [], StreamingCKA()
        for index, values in enumerate(features):
            means.append(values.mean(1).numpy())
            if probe is not None:
                predictions.append(probe.recognize(values))
            if not isinstance(condition, Clean) and self.test.ids[index] in self._cka_ids:
                cka.update(clean[index], values)
        return ConditionResult(
            **self._scores(predictions), **_similarity(cka),
            speaker_accuracy=self._speaker_accuracy(speakers, np.stack(means)),
            wall_seconds=time.perf_counter() - wall,
            cpu_seconds=time.process_time() - cpu,
        )

    def _scores(self, predictions: list[str]) -> dict:
        if not predictions:
            return {}
        counts = count_errors([" ".join(p) for p in self.test.phones], predictions)
        return {"errors": counts.errors.tolist(), "lengths": counts.lengths.tolist()}

    def _speaker_probe(self, clean: FeatureStore) -> tuple[SpeakerProbe, np.ndarray] | None:
        if self.test.speakers is None:
            logger.info("speaker identification is left out: the corpus names no speaker.")
            return None
        try:
            train, test = split_within_speakers(self.test.speakers, seed=self.settings.seed)
        except ValueError as error:
            logger.warning("speaker identification is left out: %s", error)
            return None
        means = np.stack([clean[i].mean(1).numpy() for i in train])
        return SpeakerProbe().fit(means, [self.test.speakers[i] for i in train]), test

    def _speaker_accuracy(self, speakers, means: np.ndarray) -> list[float] | None:
        if speakers is None:
            return None
        probe, test = speakers
        return probe.accuracy(means[test], [self.test.speakers[i] for i in test])

    def _store(
        self, front_end: FrontEnd, utterances: Utterances, folder: Path, part: str
    ) -> FeatureStore:
        key = f"{self.results.fingerprint(front_end.name)} {part} {len(utterances)}"
        store = open_store(folder, key)
        if store is None:
            start = time.perf_counter()
            features = stream_features(
                front_end, utterances.read, len(utterances), self.settings.num_workers,
                f"{front_end.name}, clean {part}",
            )
            store = write_store(folder, features, key)
            elapsed = time.perf_counter() - start
            self.results.add_seconds(front_end.name, f"{part} features", elapsed)
        return store

    def _phone_probe(self, front_end: FrontEnd, folder: Path) -> PhoneProbe:
        file = self.results.path.parent / f"probe-{front_end.name}.pt"
        saved = self.results.probe(front_end.name)
        if saved is not None and file.is_file():
            return _load_probe(file, front_end, self.settings.probe)
        store = self._store(front_end, self.train, folder / "train", "train")
        train, dev = hold_out_speakers(self.train.speakers, seed=self.settings.seed)
        start = time.perf_counter()
        training = train_probe(store, self.train.phones, train, dev, self.settings.probe)
        self.results.add_seconds(front_end.name, "probe", time.perf_counter() - start)
        torch.save(
            {"phones": training.probe.vocabulary.phones, "state": training.probe.state_dict()}, file
        )
        weights = training.probe.layers.normalized_weights(store.layer_norms)
        self.results.add_probe(front_end.name, {
            "dev_per": training.dev_per, "history": training.history,
            "layer_weights": weights.tolist(), "arguments": asdict(self.settings.probe),
        })
        shutil.rmtree(folder / "train")
        return training.probe


def _load_probe(file: Path, front_end: FrontEnd, arguments: ProbeArguments) -> PhoneProbe:
    saved = torch.load(file, weights_only=True)
    vocabulary = PhoneVocabulary(tuple(saved["phones"]))
    probe = PhoneProbe(
        front_end.num_layers, front_end.dim, vocabulary, arguments.projection_size
    )
    probe.load_state_dict(saved["state"])
    return probe.eval()


def _similarity(cka: StreamingCKA) -> dict:
    if cka.num_frames < 4:
        return {}
    return {"cka": cka.value(), "cka_debiased": cka.debiased_value()}
