"""The results of a comparison: one JSON file, replaced as a whole after every condition."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from hf_rspin.evaluation.metrics import ErrorCounts


@dataclass(frozen=True)
class ConditionResult:
    """One encoder in one condition; None where it could not be measured.

    Args:
        wall_seconds: elapsed time of the condition. Clean features are cached, so for "clean"
            it does not include encoding.
        cpu_seconds: processor time of all threads.
        errors: phone errors per test utterance.
        lengths: reference phones per test utterance.
        cka: per layer, against clean speech; None for clean.
        cka_debiased: likewise, debiased estimator.
        speaker_accuracy: per layer; the probe is trained on clean speech.
    """

    wall_seconds: float
    cpu_seconds: float
    errors: list[int] | None = None
    lengths: list[int] | None = None
    cka: list[float] | None = None
    cka_debiased: list[float] | None = None
    speaker_accuracy: list[float] | None = None

    @property
    def counts(self) -> ErrorCounts | None:
        """The phone errors as arrays, or None."""
        if self.errors is None:
            return None
        return ErrorCounts(np.array(self.errors), np.array(self.lengths))


class ResultsFile:
    """`results.json`: settings, and per encoder its fingerprint, probe and conditions.

    Raises:
        ValueError: the file was made with other settings.
    """

    def __init__(self, path: str | Path, settings: dict) -> None:
        self.path = Path(path)
        self._content = {"settings": json.loads(json.dumps(settings)), "encoders": {}}
        if self.path.is_file():
            found = json.loads(self.path.read_text())
            if found["settings"] != self._content["settings"]:
                raise ValueError(
                    f"{path} was made with other settings ({found['settings']}); this run has "
                    f"{self._content['settings']}: choose another output folder, or remove it."
                )
            self._content = found

    def start_encoder(self, name: str, fingerprint: str) -> None:
        """Register an encoder, or go on with it.

        Raises:
            ValueError: what is there under this name was measured with other weights.
        """
        self.check_encoder(name, fingerprint)
        empty = {"fingerprint": fingerprint, "probe": None, "seconds": {}, "conditions": {}}
        self._content["encoders"].setdefault(name, empty)

    def check_encoder(self, name: str, fingerprint: str) -> None:
        """Refuse to mix two encoders under one name, registering nothing.

        Raises:
            ValueError: see `start_encoder`.
        """
        found = self._content["encoders"].get(name)
        if found is not None and found["fingerprint"] != fingerprint:
            raise ValueError(
                f"{self.path} holds results of {name!r} with other weights, precision or input; "
                "give this encoder another name (--names), or choose another output folder."
            )

    def fingerprint(self, name: str) -> str:
        """Return the fingerprint of a registered encoder."""
        return self._content["encoders"][name]["fingerprint"]

    def has(self, encoder: str, condition: str) -> bool:
        """Say whether this condition is finished."""
        return condition in self._content["encoders"][encoder]["conditions"]

    def probe(self, encoder: str) -> dict | None:
        """Return what is known of the encoder's phone probe."""
        return self._content["encoders"][encoder]["probe"]

    def add_probe(self, encoder: str, facts: dict) -> None:
        """Record the trained phone probe."""
        self._content["encoders"][encoder]["probe"] = facts
        self._write()

    def add_seconds(self, encoder: str, step: str, seconds: float) -> None:
        """Record the elapsed time of a step that conditions share, such as "train features"."""
        self._content["encoders"][encoder]["seconds"][step] = round(seconds, 2)
        self._write()

    def seconds(self, encoder: str) -> dict[str, float]:
        """Return the elapsed time per shared step."""
        return self._content["encoders"][encoder]["seconds"]

    def add(self, encoder: str, condition: str, result: ConditionResult) -> None:
        """Record a finished condition."""
        self._content["encoders"][encoder]["conditions"][condition] = asdict(result)
        self._write()

    def encoders(self) -> list[str]:
        """Return the names of the encoders, in the order they were registered."""
        return list(self._content["encoders"])

    def conditions(self, encoder: str) -> dict[str, ConditionResult]:
        """Return the finished conditions of an encoder."""
        saved = self._content["encoders"][encoder]["conditions"]
        return {name: ConditionResult(**values) for name, values in saved.items()}

    def _write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_suffix(".json.part")
        temporary.write_text(json.dumps(self._content))
        os.replace(temporary, self.path)


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
