"""What could not be measured, kept beside the cells: other processes and later runs say it too."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from hf_rspin.utils import write_json


@dataclass(frozen=True)
class Failure:
    """A probe that could not learn of an encoder, or not measure a condition.

    Args:
        encoder: its name.
        probe: its name.
        condition: with its SNR; "": the probe could not learn.
        why: the sentence of the error.
        of: what was to be measured, see `Evaluation`: settings, condition and utterances.
    """

    encoder: str
    probe: str
    condition: str
    why: str
    of: str = ""

    def write(self, file: Path) -> None:
        """Write it at once."""
        write_json(file, asdict(self))


def read_failures(folder: Path) -> Iterator[Failure]:
    """Yield what is written in the files of a folder that are whole."""
    for file in sorted(folder.glob("*.json")):
        try:
            yield Failure(**json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            continue  # measured meanwhile, or damaged: it is tried again


def sentences(failures: Iterable[Failure]) -> list[str]:
    """Return a sentence per encoder, probe and reason; seeds of a probe have one name.

    Example:
        >>> sentences([Failure("a", "sid", "gaussian at 0 dB", "one speaker.")])
        ['sid of a under gaussian at 0 dB is left out: one speaker.']
    """
    found: dict[tuple[str, str, str], dict[str, None]] = {}  # conditions as an ordered set
    for one in failures:
        found.setdefault((one.encoder, one.probe, one.why), {})[one.condition] = None
    said = []
    for (encoder, probe, why), conditions in found.items():
        where = "" if "" in conditions else f" under {', '.join(conditions)}"
        said.append(f"{probe} of {encoder}{where} is left out: {why}")
    return said
