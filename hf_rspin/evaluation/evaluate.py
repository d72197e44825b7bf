"""Encoders through conditions and probes; what is finished is a file, and is not run again."""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from tqdm.auto import tqdm

from hf_rspin.cost import CostMeter
from hf_rspin.device import release_memory
from hf_rspin.evaluation.cells import (
    Cell,
    MixedResultsError,
    check_one_encoder_per_name,
    digest,
    read_cells,
)
from hf_rspin.evaluation.conditions import CLEAN, Clean, Described, Distortion, fingerprints
from hf_rspin.evaluation.evaluation_set import EvaluationSet
from hf_rspin.evaluation.failures import read_failures, sentences
from hf_rspin.evaluation.features import (
    EncoderFeatures,
    device_of,
    gflops_per_second,
    precision_of,
)
from hf_rspin.evaluation.hearing import Hearing
from hf_rspin.evaluation.probe_settings import check_seeds_alone
from hf_rspin.evaluation.probes import CleanFeatures, Probe
from hf_rspin.evaluation.shards import label

logger = logging.getLogger(__name__)

FAILED = "failed"  # folder beside the cells


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
        ValueError: a condition comes twice, a probe comes twice with equal settings or with others
            that differ in more than the seed, labels are wrong, or none of the conditions can be
            made; where one cannot, `left_out` says why.

    Example:
        >>> from hf_rspin.evaluation import CkaProbe, GaussianNoise, load_features, to_table
        >>> test = EvaluationSet.from_corpus(load_sample("test").select(range(4)))
        >>> conditions, probes = [GaussianNoise(0.0)], [CkaProbe()]
        >>> evaluation = Evaluation("runs/eval", test, conditions, probes, progress=False)
        >>> evaluation.run(load_features("mfcc"))  # or an encoder
        >>> table = to_table(evaluation.cells())   # one long pandas table
        >>> table["metric"].unique().tolist()
        ['cka_debiased', 'cka']
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
        self.dtype, self.num_workers, self.progress = dtype, num_workers, progress
        distortions = [c for c in conditions if c.name != CLEAN]
        self._shared = len(train.shared_with(test)) if train else 0
        _check_different("condition", [(c.name, c.snr_db) for c in distortions])
        found, impossible = fingerprints([Clean(), *distortions])
        self.conditions, self._prints = ([pair[side] for pair in found] for side in (0, 1))
        self.left_out = list(dict.fromkeys([*impossible, *self._choose(probes)]))
        for reason in self.left_out:
            logger.info(reason)
        self._keys = self._make_keys()
        self._order: list[str] = list(encoders)
        self.measured = False
        self._failed: list[str] = []  # sentences of `left_out` on what failed

    def _choose(self, probes: Sequence[Probe]) -> list[str]:
        """Keep the probes that the utterances have labels for; return what is to be said."""
        settings = [json.dumps(probe.settings(), sort_keys=True) for probe in probes]
        _check_different("probe", [(p.name, s) for p, s in zip(probes, settings, strict=True)])
        check_seeds_alone(probes)
        reasons = {probe: probe.reason_to_skip(self.test, self.train) for probe in probes}
        self.probes = [probe for probe, reason in reasons.items() if reason is None]
        said = [*reasons.values(), *(probe.remark(self.test) for probe in self.probes)]
        names = [condition.name for condition in self.conditions]
        said += [
            f"{probe.name} is left out: it compares distorted speech with clean speech, but the "
            "only condition is clean; add others, such as gaussian."
            for probe in self.probes if not any(map(probe.measures, names))
        ]  # fmt: skip
        learners = dict.fromkeys(p.name for p in self.probes if p.learns_unlabelled)
        if learners and self.train is None:
            said.append(
                f"Nothing else is there to learn from: what learns without labels "
                f"({', '.join(learners)}) learns on the test utterances that it is measured on."
            )
        if self._shared:
            said.append(
                f"{self._shared} of {len(self.train)} training utterances are measured too (the "
                "same audio): what was learned on them looks better than it is."
            )
        said += [self.test.remark("test"), self.train and self.train.remark("training")]
        return [sentence for sentence in said if sentence is not None]

    def _make_keys(self) -> dict[tuple[Probe, int], dict[str, Any]]:
        """Return all of a cell's key but the encoder, by probe and place of the condition."""
        data: dict[str, Any] = {} if self.dtype == torch.float16 else {"dtype": str(self.dtype)}
        train = self.train.fingerprint() if self.train else None
        data |= {"test": self.test.fingerprint(), "train": train}
        return {
            (probe, place): {
                "probe": probe.name, "version": probe.version,
                "settings": json.loads(json.dumps(probe.settings())),
                "condition": self._prints[place], **data,
            }
            for probe in self.probes for place, condition in enumerate(self.conditions)
            if probe.measures(condition.name)
        }  # fmt: skip

    def check_encoder(self, name: str, fingerprint: str, precision: str | None = None) -> None:
        """Refuse two encoders of one name.

        Args:
            name: of the encoder.
            fingerprint: of its features.
            precision: in which they are computed; None where that is not known.

        Raises:
            MixedResultsError: cells of other weights, or of another precision, have this name.
        """
        there = [cell for cell in self.cells() if cell.encoder == name]
        check_one_encoder_per_name(there)
        for cell in there:
            if cell.key["encoder"] != fingerprint:
                before = cell.about.get("precision")
                if {before, precision} == {"bfloat16", "float32"}:
                    raise MixedResultsError(
                        f"{self.folder} holds results of {name!r} in {before}, and this is "
                        f"{precision}: give --bf16 {str(before == 'bfloat16').lower()} to go on "
                        "with them, or choose another output folder."
                    )
                raise MixedResultsError(
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
        """Measure what has no cell yet; `measured` says whether there was something.

        Args:
            encoder_features: the encoder.
            probes: names of those to run; default all.
            conditions: labels (see `label`) or names of those to run; default all.
            part: name of a process beside others that measure the same encoder in this folder;
                it has features of its own.
            about: written into the cells of this encoder, beside `about` of the evaluation.

        Raises:
            MixedResultsError: see `check_encoder`.
            ValueError: the disk has no room for the features.
        """
        hearing = Hearing(encoder_features.name)
        fingerprint, precision = encoder_features.fingerprint(), precision_of(encoder_features)
        self.check_encoder(encoder_features.name, fingerprint, precision)
        self._order = [*dict.fromkeys([*self._order, encoder_features.name])]
        self._adopt(encoder_features.name, fingerprint)
        missing = self._missing(encoder_features.name, fingerprint, probes, conditions)
        self.measured = bool(missing)
        if not missing:
            logger.info("%s: everything is measured already.", encoder_features.name)
            self._say_failures()
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
                        hearing.do(probe, probe.fit, features, self._state(probe, fingerprint))
                        release_memory()  # a probe may have gone through all of the features
                    updates, to_fit = sum(probe.updates for probe in to_fit), []
                    condition, name = self.conditions[place], self._prints[place]
                    bar.set_postfix_str(condition.name)
                    hearing.measure(features, condition, name, wanted, self.keep_features)
                cost = asdict(meter.cost(features.take_hours(), gflops, updates))
                known = {**self.about, **(about or {}), "precision": precision, "cost": cost}
                # another process may have measured it meanwhile, in another precision
                self.check_encoder(encoder_features.name, fingerprint, precision)
                self._write(hearing, fingerprint, place, wanted, known)
        self._say_failures()
        del features
        if not self.keep_features:
            shutil.rmtree(folder, ignore_errors=True)

    def cells(self) -> list[Cell]:
        """Return the finished cells of these probes, conditions and utterances, in table order.

        Encoders that earlier runs measured in this folder come after those of this run.
        """
        wanted = {digest(key): place for place, key in enumerate(self._keys.values())}
        found = []
        for cell in read_cells(self.folder / "cells"):
            of = digest(_without_encoder(cell.key))
            if of in wanted:
                found.append((self._place(cell.encoder), wanted[of], cell))
        return [cell for *_, cell in sorted(found, key=lambda entry: entry[:2])]

    def _place(self, name: str) -> tuple[int, str]:
        known = name in self._order
        return (self._order.index(name) if known else len(self._order), name)

    def _adopt(self, name: str, fingerprint: str) -> None:
        """Give this name to what was measured of the same weights under one that is not in use.

        Names of folders that are told apart by more than their last part change with the others.
        """
        folder = self.folder / "cells"
        for cell in read_cells(folder):
            if cell.key.get("encoder") == fingerprint and cell.encoder not in self._order:
                replace(cell, encoder=name).write(folder)
                cell.path(folder).unlink(missing_ok=True)

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

    def _write(
        self, hearing: Hearing, fingerprint: str, place: int, probes: Sequence[Probe], about: dict
    ) -> None:
        """Write the cells of one condition."""
        condition = self.conditions[place]
        described = condition.describe() if isinstance(condition, Described) else ""
        about = about | ({"condition": described} if described else {})
        about |= {"date": time.strftime("%Y-%m-%d"), "num_test": len(self.test)}
        about |= {"num_train": len(self.train) if self.train else 0}
        for probe in probes:
            rows, details = (hearing.do(probe, step) for step in (probe.rows, probe.details))
            key = {"encoder": fingerprint, **self._keys[probe, place]}
            failure = hearing.failure(probe)
            failed = self.folder / FAILED / f"{digest([hearing.encoder, key])}.json"
            if failure is not None:
                of, seed = digest(self._keys[probe, place]), probe.settings().get("seed")
                replace(failure, condition=label(condition), seed=seed, of=of).write(failed)
                continue
            name = (hearing.encoder, probe.name, condition.name, condition.snr_db)
            Cell(*name, key, rows, details, about).write(self.folder / "cells")
            failed.unlink(missing_ok=True)

    def _say_failures(self) -> None:
        """Put into `left_out` what failed here, in other processes, or in an earlier run."""
        wanted = {digest(key): place for place, key in enumerate(self._keys.values())}
        measured = {(c.encoder, digest(_without_encoder(c.key))) for c in self.cells()}
        names = {*self._order, *(encoder for encoder, _ in measured)}
        found = [
            one for one in read_failures(self.folder / FAILED)
            if one.of in wanted and one.encoder in names
            and (one.encoder, one.of) not in measured  # with other weights, of this name
        ]  # fmt: skip
        found.sort(key=lambda one: (self._place(one.encoder), wanted[one.of]))
        self.left_out = [one for one in self.left_out if one not in self._failed]
        labels: dict[str, set[str]] = {}
        for probe, place in self._keys:
            labels.setdefault(probe.name, set()).add(label(self.conditions[place]))
        conditions = {name: len(some) for name, some in labels.items()}
        self._failed = sentences(found, conditions, Counter(probe.name for probe in self.probes))
        self.left_out += self._failed


def _without_encoder(key: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in key.items() if name != "encoder"}


def _check_different(what: str, names: Sequence) -> None:
    if len(set(names)) < len(names):
        raise ValueError(f"got {what}s {names}; expected each once.")
