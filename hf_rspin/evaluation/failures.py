"""What could not be measured, kept beside the cells: other processes and later runs say it too."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from hf_rspin.utils import write_json


@dataclass(frozen=True)
class Failure:
    """A probe that could not learn of an encoder, or not measure a condition.

    Args:
        encoder: its name.
        probe: its name.
        condition: with its SNR.
        why: the sentence of the error.
        seed: of the probe.
        of: what was to be measured, see `Evaluation`: settings, condition and utterances.
    """

    encoder: str
    probe: str
    condition: str
    why: str
    seed: int | None = None
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


def sentences(
    failures: Iterable[Failure], conditions: Mapping[str, int], seeds: Mapping[str, int]
) -> list[str]:
    """Return a sentence per encoder, probe and reason: under which conditions, with which seeds.

    Args:
        failures: of cells that are not there.
        conditions: how many each probe measures; where all failed, none is named.
        seeds: how many of each probe; likewise.

    Example:
        >>> failed = Failure("a", "sid", "gaussian at 0 dB", "one speaker.")
        >>> sentences([failed], {"sid": 2}, {"sid": 1})
        ['sid of a under gaussian at 0 dB is left out: one speaker.']
    """
    found: dict[tuple[str, str, str], list[Failure]] = {}
    for one in failures:
        found.setdefault((one.encoder, one.probe, one.why), []).append(one)
    said = []
    for (encoder, probe, why), some in found.items():
        names = dict.fromkeys(one.condition for one in some)  # an ordered set
        where = f" under {', '.join(names)}" if len(names) < conditions[probe] else ""
        of = dict.fromkeys(str(one.seed) for one in some)
        which = f" (seed {', '.join(of)})" if len(of) < seeds[probe] else ""
        said.append(f"{probe} of {encoder}{which}{where} is left out: {why}")
    return said
