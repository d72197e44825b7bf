"""Encoders through conditions and probes; what is finished is a file, and is not run again."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from tqdm.auto import tqdm

from hf_rspin.evaluation.conditions import CLEAN, Clean, Distortion, condition_fingerprint
from hf_rspin.evaluation.evaluation_set import EvaluationSet
from hf_rspin.evaluation.feature_store import stream_features
from hf_rspin.evaluation.features import EncoderFeatures
from hf_rspin.evaluation.probes import CleanFeatures, Metric, Probe, Row
from hf_rspin.utils import write_json

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cell:
    """What one probe found of one encoder under one condition: a file, never changed.

    Args:
        encoder: its name.
        probe: its name.
        condition: its name.
        snr_db: of the condition.
        key: everything that decides the numbers, as JSON values.
        rows: the numbers.
        details: more, such as errors per utterance.
    """

    encoder: str
    probe: str
    condition: str
    snr_db: float | None
    key: dict[str, Any]
    rows: list[Row] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, file: Path) -> Cell:
        """Read what `write` wrote."""
        content = json.loads(file.read_text(encoding="utf-8"))
        rows = [Row(**row) for row in content["rows"]]
        rows = [replace(row, value=math.nan) if row.value is None else row for row in rows]
        return cls(**{**content, "rows": rows})

    def write(self, folder: Path) -> None:
        """Write `<probe>-<condition>-<hash of the key>.json` at once."""
        readable = re.sub(r"\W+", "_", f"{self.probe}-{self.condition}")[:60]
        content = asdict(self)
        for row in content["rows"]:  # JSON has no nan
            row |= {name: None for name, x in row.items() if isinstance(x, float) and x != x}
        write_json(folder / f"{readable}-{_digest([self.encoder, self.key])}.json", content)


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

    Raises:
        ValueError: a probe or condition comes twice, or labels are wrong.

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
    ) -> None:
        self.folder, self.test, self.train = Path(folder), test, train
        self.conditions = [Clean(), *(c for c in conditions if c.name != CLEAN)]
        self.dtype, self.num_workers, self.progress = dtype, num_workers, progress
        reasons = {probe: probe.reason_to_skip(test, train) for probe in probes}
        self.probes = [probe for probe, reason in reasons.items() if reason is None]
        sentences = [*reasons.values(), *(probe.remark(test) for probe in self.probes)]
        self.left_out = [sentence for sentence in sentences if sentence is not None]
        for reason in self.left_out:
            logger.info(reason)
        _check_different("probe", [probe.name for probe in probes])
        _check_different("condition", [(c.name, c.snr_db) for c in self.conditions])
        data = {"test": test.fingerprint(), "train": train.fingerprint() if train else None}
        prints = [condition_fingerprint(condition) for condition in self.conditions]
        self._keys = {  # (probe, place of the condition) -> all of a cell's key but the encoder
            (probe, place): {
                "probe": probe.name, "settings": json.loads(json.dumps(probe.settings())),
                "condition": prints[place], **data,
            }
            for probe in self.probes for place, condition in enumerate(self.conditions)
            if probe.measures(condition.name)
        }  # fmt: skip
        self._order: list[str] = []

    @property
    def metrics(self) -> list[Metric]:
        """What the numbers are."""
        return [metric for probe in self.probes for metric in probe.metrics]

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
    ) -> None:
        """Measure what has no cell yet.

        Args:
            encoder_features: the encoder.
            probes: names of those to run; default all.
            conditions: names of those to run; default all.

        Raises:
            ValueError: see `check_encoder`.
        """
        fingerprint = encoder_features.fingerprint()
        self.check_encoder(encoder_features.name, fingerprint)
        self._order = [*dict.fromkeys([*self._order, encoder_features.name])]
        missing = self._missing(encoder_features.name, fingerprint, probes, conditions)
        if not missing:
            logger.info("%s: everything is measured already.", encoder_features.name)
            return
        folder = self.folder / "features" / fingerprint
        encoded = sum(self.conditions[place].name != CLEAN for place in missing)
        with tqdm(
            total=encoded * len(self.test), desc=f"Measuring {encoder_features.name}",
            unit="utt", disable=not self.progress,
        ) as bar:  # fmt: skip
            features = CleanFeatures(
                encoder_features, self.test, self.train, folder, self.dtype, self.num_workers, bar
            )
            for probe in dict.fromkeys(probe for found in missing.values() for probe in found):
                bar.set_postfix_str(f"{probe.name} learns")
                probe.fit(features, self._state(probe, fingerprint))
            for place, wanted in sorted(missing.items()):
                bar.set_postfix_str(self.conditions[place].name)
                self._run_condition(features, fingerprint, place, wanted)
        del features  # its files are mapped
        shutil.rmtree(folder, ignore_errors=True)

    def cells(self) -> list[Cell]:
        """Return the finished cells of these probes, conditions and utterances, in table order.

        Encoders that earlier runs measured in this folder come after those of this run.
        """
        wanted = {_digest(key): place for place, key in enumerate(self._keys.values())}
        found = []
        for file in sorted((self.folder / "cells").glob("*.json")):
            cell = Cell.read(file)
            rest = {name: value for name, value in cell.key.items() if name != "encoder"}
            if _digest(rest) in wanted:
                found.append((self._place(cell.encoder), wanted[_digest(rest)], cell))
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
        done = {_digest(cell.key) for cell in self.cells() if cell.encoder == name}
        missing: dict[int, list[Probe]] = {}
        for (probe, place), key in self._keys.items():
            wanted = (probes is None or probe.name in probes) and (
                conditions is None or self.conditions[place].name in conditions
            )
            if wanted and _digest({"encoder": fingerprint, **key}) not in done:
                missing.setdefault(place, []).append(probe)
        return missing

    def _state(self, probe: Probe, fingerprint: str) -> Path:
        """Return where a probe may keep what it learned of an encoder."""
        key = next(key for (one, _), key in self._keys.items() if one is probe)
        key = {k: v for k, v in key.items() if k not in ("condition", "test")}
        return self.folder / "probes" / f"{probe.name}-{_digest({'encoder': fingerprint, **key})}"

    def _run_condition(
        self,
        features: CleanFeatures,
        fingerprint: str,
        place: int,
        probes: Sequence[Probe],
    ) -> None:
        condition = self.conditions[place]
        for probe in probes:
            probe.begin(condition)
        for index, values in enumerate(self._heard(features, condition)):
            for probe in probes:
                probe.update(index, values)
        for probe in probes:
            key = {"encoder": fingerprint, **self._keys[probe, place]}
            Cell(
                features.encoder_features.name, probe.name, condition.name, condition.snr_db, key,
                probe.rows(), probe.details(),
            ).write(self.folder / "cells")  # fmt: skip

    def _heard(
        self, features: CleanFeatures, condition: Distortion
    ) -> Iterable[torch.Tensor]:
        """Yield the features (layers, frames, dim) of every test utterance under a condition."""
        if condition.name == CLEAN:
            store = features.test_store
            return (store[index] for index in range(len(store)))
        test = self.test
        return stream_features(
            features.encoder_features, lambda i: condition(test.read(i), test.ids[i]), len(test),
            self.num_workers, features.bar,
        )  # fmt: skip


def short_names(paths: Sequence[str]) -> list[str]:
    """Name encoders after their folders, with as many parent folders as tell them apart.

    "runs/a/model" and "runs/b/model" become "a-model" and "b-model".

    Raises:
        ValueError: the same path comes twice.
    """
    parts = [[part for part in Path(path).parts if part not in ("/", "..")] for path in paths]
    for depth in range(1, 1 + max(map(len, parts), default=1)):
        names = ["-".join(part[-depth:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    raise ValueError(f"{list(paths)} holds the same encoder twice; name each once.")


def _check_different(what: str, names: Sequence) -> None:
    if len(set(names)) < len(names):
        raise ValueError(f"got {what}s {names}; expected each once.")


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
