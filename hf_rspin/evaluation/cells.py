"""Numbers and where they are kept: a metric says what one is, a row holds it, a cell is a file."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from hf_rspin.evaluation.draws import Draws
from hf_rspin.evaluation.measures.bootstrap import Interval
from hf_rspin.utils import write_json

logger = logging.getLogger(__name__)

LAYER_ERRORS = "layer_errors"  # detail of a cell: (layers, utterances), beside `lengths`


@dataclass(frozen=True)
class Metric:
    """What a number in the long table is, for tables, plots and reports.

    Args:
        name: in the column `metric`.
        title: heading of its table and figure.
        label: short, with the unit: axes and summaries.
        caption: how to read it, and which way is better.
        percent: shown times 100.
        digits: shown after the point.
        conditions: which of them a summary and a figure show.
        plotted: whether a report draws it.
        in_summary: whether the short table of layers has it.
        better: which way is, where a sentence may say so; None: neither.
        layer_of: metric whose best layer is the one in which encoders are compared, the last layer
            where it was not measured; default: this one, where it has a better direction.
        share: of layers, all of which sum to 1: of a single layer it says nothing.
        counts: what the value is a share of; `details["errors"]` are errors in either case.
    """

    name: str
    title: str
    label: str
    caption: str
    percent: bool = False
    digits: int = 3
    conditions: Literal["all", "clean"] = "all"
    plotted: bool = True
    in_summary: bool = True
    better: Literal["lower", "higher"] | None = None
    layer_of: str | None = None
    share: bool = False
    counts: Literal["errors", "correct"] = "errors"

    def text(self, value: float) -> str:
        """Return the value as tables show it, without a unit; a dash where there is none."""
        if math.isnan(value):
            return "–"
        return f"{100 * value if self.percent else value:.{self.digits}f}"

    def change(self, value: float) -> str:
        """Return a difference as tables show it: with its sign, without a unit."""
        shown = f"{100 * value if self.percent else value:+.{self.digits}f}"
        return shown if float(shown) else shown.replace("-", "+")  # no -0.0


@dataclass(frozen=True)
class Row:
    """One number of a probe: a line of the long table, but for encoder, condition and seed.

    Args:
        metric: name of a `Metric` of the probe.
        value: the number.
        layer: 0: encoder input; None: not of a layer.
        low: of a 95 % interval.
        high: of a 95 % interval.
        draws: what the value is on speakers drawn again, for paired tests of encoders.
    """

    metric: str
    value: float
    layer: int | None = None
    low: float | None = None
    high: float | None = None
    draws: Draws | None = None

    @classmethod
    def of_interval(cls, metric: str, found: Interval, layer: int | None = None) -> Row:
        """Return a number with its interval and draws.

        Args:
            metric: its name.
            found: the number.
            layer: of which it is.
        """
        draws = Draws.of_interval(found)
        return cls(metric, found.value, layer, found.low, found.high, draws)


class MixedResultsError(ValueError):
    """Results that cannot stand in one table: of other weights or precision under one name."""


def layer_rows(metric: str, values: Sequence[float]) -> list[Row]:
    """Return a row per layer."""
    return [Row(metric, float(value), layer) for layer, value in enumerate(values)]


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
        about: what a reader should know: corpus, date, and `cost` (see `RunCost`) of the
            condition, all probes together; what they learned before is part of the first.
    """

    encoder: str
    probe: str
    condition: str
    snr_db: float | None
    key: dict[str, Any]
    rows: list[Row] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def seed(self) -> int | None:
        """Return the seed of what the probe learned or drew."""
        return self.key["settings"].get("seed")

    @classmethod
    def read(cls, file: Path) -> Cell:
        """Read what `write` wrote."""
        content = json.loads(file.read_text(encoding="utf-8"))
        rows = [Row(**row) for row in content["rows"]]
        rows = [replace(row, draws=Draws(**row.draws)) if row.draws else row for row in rows]
        rows = [replace(row, value=math.nan) if row.value is None else row for row in rows]
        return cls(**{**content, "rows": rows})

    def write(self, folder: Path) -> None:
        """Write it at once, see `path`."""
        content = asdict(self)
        for row in content["rows"]:  # JSON has no nan and no infinity
            numbers = {name: x for name, x in row.items() if isinstance(x, float)}
            row |= {name: None for name, x in numbers.items() if not math.isfinite(x)}
            if row["draws"] is None:
                del row["draws"]
        write_json(self.path(folder), content)

    def path(self, folder: Path) -> Path:
        """Return its file: `<probe>-<condition>-<hash of name and key>.json`."""
        readable = re.sub(r"\W+", "_", f"{self.probe}-{self.condition}")[:60]
        return folder / f"{readable}-{digest([self.encoder, self.key])}.json"


def read_cells(folder: Path) -> Iterator[Cell]:
    """Yield the cells of a folder by the names of their files; damaged ones are named and left."""
    for file in sorted(folder.glob("*.json")):
        try:
            yield Cell.read(file)
        except FileNotFoundError:
            continue  # another process gave it another name
        except (ValueError, KeyError, TypeError):
            logger.warning("%s is damaged and counts as not there.", file)


def check_one_encoder_per_name(cells: Sequence[Cell]) -> None:
    """Refuse cells of several weights or precisions under one name.

    Raises:
        MixedResultsError: see above.
    """
    keys: dict[str, str] = {}
    for cell in cells:
        key = cell.key.get("encoder", "")
        if keys.setdefault(cell.encoder, key) != key:
            raise MixedResultsError(
                f"the results of {cell.encoder!r} are of several weights, precisions or inputs, "
                "as processes measured it at the same time: give each of them the same --bf16, "
                "and measure it in another output folder."
            )


def digest(content: Any) -> str:
    """Return 16 hexadecimal digits that tell JSON values from others."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
