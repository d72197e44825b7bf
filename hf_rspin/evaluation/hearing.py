"""Probes hear the test utterances of a condition; one that cannot measure them is left out."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hf_rspin.audio import AudioError
from hf_rspin.device import release_memory
from hf_rspin.evaluation.conditions import CLEAN, Distortion
from hf_rspin.evaluation.failures import Failure
from hf_rspin.evaluation.feature_store import (
    FeatureError,
    FeatureStore,
    StoreWriter,
    open_store,
)
from hf_rspin.evaluation.feature_stream import stream_features
from hf_rspin.evaluation.probes import CleanFeatures, Probe
from hf_rspin.evaluation.shards import label
from hf_rspin.utils import NoSpaceError, check_space

logger = logging.getLogger(__name__)


class Hearing:
    """The steps of all probes on one encoder.

    A probe that fails to learn is left out for good; one that cannot measure a condition, there.

    Args:
        encoder: its name.
    """

    def __init__(self, encoder: str) -> None:
        self.encoder = encoder
        self._condition = ""  # that is heard; none yet while probes learn
        self._failed: dict[tuple[Probe, str], Failure] = {}

    def failure(self, probe: Probe) -> Failure | None:
        """Return why a probe is left out: for good, or under the condition that is heard."""
        for_good = self._failed.get((probe, ""))
        return for_good or self._failed.get((probe, self._condition))

    def do(self, probe: Probe, step: Callable, *given: Any) -> Any:
        """Let a probe do a step; one that cannot measure this is left out, and said to be.

        Raises:
            ValueError: what ends the run for all probes: audio that cannot be read, features that
                cannot be kept, a full disk.
        """
        if self.failure(probe):
            return None
        try:
            return step(*given)
        except (AudioError, FeatureError, NoSpaceError):
            raise  # of all probes
        except ValueError as error:
            found = Failure(self.encoder, probe.name, self._condition, str(error))
            said = {(one.probe, one.why) for one in self._failed.values()}
            self._failed[probe, self._condition] = found
            if (found.probe, found.why) not in said:
                logger.warning(
                    "%s of %s%s is left out: %s", probe.name, self.encoder,
                    self._condition and f" under {self._condition}", error,
                    exc_info=logger.isEnabledFor(logging.DEBUG),
                )  # fmt: skip
            return None

    def measure(
        self,
        features: CleanFeatures,
        condition: Distortion,
        name: str,
        probes: Sequence[Probe],
        keep_features: bool,
    ) -> None:
        """Let probes that have learned see a condition, from `begin` to `finish`.

        Args:
            features: of the encoder.
            condition: what happens to the audio.
            name: of the folder for the features of the condition, see `condition_fingerprint`.
            probes: to measure.
            keep_features: leave that folder.
        """
        self._condition = label(condition)
        for probe in probes:
            self.do(probe, probe.begin, condition)
        store = self._hear(features, condition, name, probes)
        for probe in probes:
            self.do(probe, probe.finish, store)
            release_memory()
        if condition.name != CLEAN and not keep_features:
            folder = store.folder
            del store
            shutil.rmtree(folder, ignore_errors=True)

    def _hear(
        self, features: CleanFeatures, condition: Distortion, name: str, probes: Sequence[Probe]
    ) -> FeatureStore:
        """Show the probes every test utterance; return all of their features."""
        folder, key = features.folder / name, f"{features.key(features.test)} {name}"
        is_clean = condition.name == CLEAN
        store = features.test_store if is_clean else open_store(folder, key)
        if store is None:
            return self._encode(features, condition, folder, key, probes)
        for index in range(len(store)):
            values = store.peek(index)
            for probe in probes:
                self.do(probe, probe.update, index, values)
        if not is_clean:
            features.bar.update(len(store))
        return store

    def _encode(
        self,
        features: CleanFeatures,
        condition: Distortion,
        folder: Path,
        key: str,
        probes: Sequence[Probe],
    ) -> FeatureStore:
        """Distort, encode, keep and show every test utterance."""
        test = features.test
        if "test_store" in vars(features):
            check_space(folder, features.test_store.num_bytes)
        heard = stream_features(
            features.encoder_features,
            features.counted(lambda i: condition(test.read(i), test.ids[i])),
            len(test), features.num_workers, features.bar,
        )  # fmt: skip
        with StoreWriter(folder, key, features.dtype) as writer:
            for index, values in enumerate(heard):
                stored = writer.add(values)
                for probe in probes:
                    self.do(probe, probe.update, index, stored)
            return writer.close()
