"""Encoders through conditions and probes; what is finished is a file, and is not run again."""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from tqdm.auto import tqdm

from hf_rspin.audio import AudioError
from hf_rspin.cost import CostMeter
from hf_rspin.evaluation.cells import Cell, digest
from hf_rspin.evaluation.conditions import CLEAN, Clean, Distortion, condition_fingerprint
from hf_rspin.evaluation.evaluation_set import EvaluationSet
from hf_rspin.evaluation.feature_store import (
    FeatureError,
    FeatureStore,
    StoreWriter,
    open_store,
    stream_features,
)
from hf_rspin.evaluation.features import EncoderFeatures, device_of, gflops_per_second
from hf_rspin.evaluation.probes import CleanFeatures, Probe
from hf_rspin.evaluation.shards import label
from hf_rspin.utils import NoSpaceError, check_space

logger = logging.getLogger(__name__)


class Evaluation:
    """Runs front ends through conditions; finished cells are found again, whatever stopped a run.

    A cell is found by all that decides it: weights, probe and its settings, condition, utterances.
    Probes that the corpus has no labels for are left out; `left_out` holds a sentence for each.

    Args:
        folder: `cells/` of it holds the results, one JSON file each; `features/` is there only
            while an encoder is run.
        test: utterances to measure on.
        conditions: besides clean speech, which is always measured.
        probes: what to measure.
        train: utterances to learn on, or None.
        dtype: of the features kept on disk.
        num_workers: threads that read, distort and encode.
        progress: show a progress bar per encoder.
        about: written into every cell: the corpus and so on.
        keep_features: leave the features of every condition on disk for the next call; otherwise
            they go when everything asked for is measured.
        encoders: their names in the order of tables; others follow as they are run.

    Raises:
        ValueError: a probe (with equal settings) or condition comes twice, or labels are wrong.

    Example:
        >>> evaluation = Evaluation("runs/eval", test, [GaussianNoise(0.0)], [CkaProbe()])
        >>> evaluation.run(load_features("facebook/hubert-base-ls960"))
        >>> to_table(evaluation.cells())      # one long pandas table
    """

    def __init__(
        self,
        folder: str | Path,
        test: EvaluationSet,
        conditions: Sequence[Distortion],
        probes: Sequence[Probe],
        train: EvaluationSet | None = None,
        dtype: torch.dtype = torch.float16,
        num_workers: int = 1,
        progress: bool = True,
        about: Mapping[str, Any] | None = None,
        keep_features: bool = False,
        encoders: Sequence[str] = (),
    ) -> None:
        self.folder, self.test, self.train = Path(folder), test, train
        self.about, self.keep_features = dict(about or {}), keep_features
        self.conditions = [Clean(), *(c for c in conditions if c.name != CLEAN)]
        self.dtype, self.num_workers, self.progress = dtype, num_workers, progress
        reasons = {probe: probe.reason_to_skip(test, train) for probe in probes}
        self.probes = [probe for probe, reason in reasons.items() if reason is None]
        sentences = [*reasons.values(), *(probe.remark(test) for probe in self.probes)]
        self.left_out = [sentence for sentence in sentences if sentence is not None]
        for reason in self.left_out:
            logger.info(reason)
        settings = [json.dumps(probe.settings(), sort_keys=True) for probe in probes]
        _check_different("probe", [(p.name, s) for p, s in zip(probes, settings, strict=True)])
        _check_different("condition", [(c.name, c.snr_db) for c in self.conditions])
        data: dict[str, Any] = {} if dtype == torch.float16 else {"dtype": str(dtype)}
        data |= {"test": test.fingerprint(), "train": train.fingerprint() if train else None}
        self._prints = [condition_fingerprint(condition) for condition in self.conditions]
        self._keys = {  # (probe, place of the condition) -> all of a cell's key but the encoder
            (probe, place): {
                "probe": probe.name, "settings": json.loads(json.dumps(probe.settings())),
                "condition": self._prints[place], **data,
            }
            for probe in self.probes for place, condition in enumerate(self.conditions)
            if probe.measures(condition.name)
        }  # fmt: skip
        self._order: list[str] = list(encoders)
        self._failed: set[Probe] = set()

    def check_encoder(self, name: str, fingerprint: str) -> None:
        """Refuse two encoders of one name.

        Raises:
            ValueError: cells of other weights have this name.
        """
        for cell in self.cells():
            if cell.encoder == name and cell.key["encoder"] != fingerprint:
                raise ValueError(
                    f"{self.folder} holds results of {name!r} with other weights, precision or "
                    "input; give this encoder another name, or choose another output folder."
                )

    def run(
        self,
        encoder_features: EncoderFeatures,
        probes: Sequence[str] | None = None,
        conditions: Sequence[str] | None = None,
        part: str = "",
        about: Mapping[str, Any] | None = None,
    ) -> None:
        """Measure what has no cell yet.

        Args:
            encoder_features: the encoder.
            probes: names of those to run; default all.
            conditions: labels (see `label`) or names of those to run; default all.
            part: name of a process beside others that measure the same encoder in this folder;
                it has features of its own.
            about: written into the cells of this encoder, beside `about` of the evaluation.

        Raises:
            ValueError: see `check_encoder`; or the disk has no room for the features.
        """
        self._failed, self._name = set(), encoder_features.name
        fingerprint = encoder_features.fingerprint()
        self.check_encoder(encoder_features.name, fingerprint)
        self._order = [*dict.fromkeys([*self._order, encoder_features.name])]
        missing = self._missing(encoder_features.name, fingerprint, probes, conditions)
        if not missing:
            logger.info("%s: everything is measured already.", encoder_features.name)
            return
        folder = self.folder / "features" / (fingerprint + (f"-{part}" if part else ""))
        encoded = sum(self.conditions[place].name != CLEAN for place in missing)
        with tqdm(
            total=encoded * len(self.test), desc=f"Measuring {encoder_features.name}",
            unit="utt", disable=not self.progress,
        ) as bar:  # fmt: skip
            features = CleanFeatures(
                encoder_features, self.test, self.train, folder, self.dtype, self.num_workers, bar
            )
            to_fit = list(dict.fromkeys(probe for found in missing.values() for probe in found))
            gflops = gflops_per_second(encoder_features)
            for place, wanted in sorted(missing.items()):
                with CostMeter(device_of(encoder_features)) as meter:
                    for probe in to_fit:  # part of what the first condition costs
                        bar.set_postfix_str(f"{probe.name} learns")
                        self._do(probe, probe.fit, features, self._state(probe, fingerprint))
                    to_fit = []
                    bar.set_postfix_str(self.conditions[place].name)
                    self._run_condition(features, place, wanted)
                cost = asdict(meter.cost(features.take_hours(), gflops))
                known = {**self.about, **(about or {}), "cost": cost}
                self._write(encoder_features.name, fingerprint, place, wanted, known)
        del features
        if not self.keep_features:
            shutil.rmtree(folder, ignore_errors=True)

    def cells(self) -> list[Cell]:
        """Return the finished cells of these probes, conditions and utterances, in table order.

        Encoders that earlier runs measured in this folder come after those of this run.
        """
        wanted = {digest(key): place for place, key in enumerate(self._keys.values())}
        found = []
        for file in sorted((self.folder / "cells").glob("*.json")):
            try:
                cell = Cell.read(file)
            except (ValueError, KeyError, TypeError):
                logger.warning("%s is damaged and counts as not there.", file)
                continue
            rest = {name: value for name, value in cell.key.items() if name != "encoder"}
            if digest(rest) in wanted:
                found.append((self._place(cell.encoder), wanted[digest(rest)], cell))
        return [cell for *_, cell in sorted(found, key=lambda entry: entry[:2])]

    def _place(self, name: str) -> tuple[int, str]:
        known = name in self._order
        return (self._order.index(name) if known else len(self._order), name)

    def _missing(
        self,
        name: str,
        fingerprint: str,
        probes: Sequence[str] | None,
        conditions: Sequence[str] | None,
    ) -> dict[int, list[Probe]]:
        """Return the probes to run per place of a condition."""
        done = {digest(cell.key) for cell in self.cells() if cell.encoder == name}
        missing: dict[int, list[Probe]] = {}
        for (probe, place), key in self._keys.items():
            condition = self.conditions[place]
            wanted = (probes is None or probe.name in probes) and (
                conditions is None or not {condition.name, label(condition)}.isdisjoint(conditions)
            )
            if wanted and digest({"encoder": fingerprint, **key}) not in done:
                missing.setdefault(place, []).append(probe)
        return missing

    def _state(self, probe: Probe, fingerprint: str) -> Path:
        """Return where a probe may keep what it learned of an encoder."""
        key = next(key for (one, _), key in self._keys.items() if one is probe)
        unused = ("condition",) if probe.learns_from_test else ("condition", "test")
        key = {k: v for k, v in key.items() if k not in unused}
        return self.folder / "probes" / f"{probe.name}-{digest({'encoder': fingerprint, **key})}"

    def _run_condition(
        self, features: CleanFeatures, place: int, probes: Sequence[Probe]
    ) -> None:
        condition = self.conditions[place]
        for probe in probes:
            self._do(probe, probe.begin, condition)
        store = self._hear(features, condition, self._prints[place], probes)
        for probe in probes:
            self._do(probe, probe.finish, store)
        if condition.name != CLEAN and not self.keep_features:
            folder = store.folder
            del store
            shutil.rmtree(folder, ignore_errors=True)

    def _write(
        self, encoder: str, fingerprint: str, place: int, probes: Sequence[Probe], about: dict
    ) -> None:
        """Write the cells of one condition."""
        condition = self.conditions[place]
        about = {
            **about, "date": time.strftime("%Y-%m-%d"), "num_test": len(self.test),
            "num_train": len(self.train) if self.train else 0,
        }  # fmt: skip
        for probe in probes:
            rows, details = (self._do(probe, step) for step in (probe.rows, probe.details))
            if probe in self._failed:
                continue
            key = {"encoder": fingerprint, **self._keys[probe, place]}
            Cell(
                encoder, probe.name, condition.name, condition.snr_db, key, rows, details, about
            ).write(self.folder / "cells")

    def _do(self, probe: Probe, step: Callable, *given: Any) -> Any:
        """Let a probe do a step; one that cannot measure this is left out, and said to be."""
        if probe in self._failed:
            return None
        try:
            return step(*given)
        except (AudioError, FeatureError, NoSpaceError):
            raise  # of all probes
        except ValueError as error:
            self._failed.add(probe)
            sentence = f"{probe.name} of {self._name} is left out: {error}"
            self.left_out.append(sentence)
            logger.warning(sentence, exc_info=logger.isEnabledFor(logging.DEBUG))
            return None

    def _hear(
        self, features: CleanFeatures, condition: Distortion, name: str, probes: Sequence[Probe]
    ) -> FeatureStore:
        """Show the probes every test utterance under a condition; return all of their features."""
        if condition.name == CLEAN:
            store = features.test_store
        else:
            key = f"{features.key(self.test)} {name}"
            store = open_store(features.folder / name, key)
        if store is None:
            return self._encode(features, condition, features.folder / name, key, probes)
        for index in range(len(store)):
            values = store.peek(index)
            for probe in probes:
                self._do(probe, probe.update, index, values)
        if condition.name != CLEAN:
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
        test = self.test
        if "test_store" in vars(features):
            check_space(folder, features.test_store.num_bytes)
        heard = stream_features(
            features.encoder_features,
            features.counted(lambda i: condition(test.read(i), test.ids[i])),
            len(test), self.num_workers, features.bar,
        )  # fmt: skip
        with StoreWriter(folder, key, self.dtype) as writer:
            for index, values in enumerate(heard):
                stored = writer.add(values)
                for probe in probes:
                    self._do(probe, probe.update, index, stored)
            return writer.close()


def _check_different(what: str, names: Sequence) -> None:
    if len(set(names)) < len(names):
        raise ValueError(f"got {what}s {names}; expected each once.")
