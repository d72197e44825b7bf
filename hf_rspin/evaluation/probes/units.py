"""Units of each layer: what k-means clusters say about phones, and whether noise moves them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from hf_rspin.data.phone_times import SILENCE
from hf_rspin.evaluation.conditions import CLEAN, Distortion
from hf_rspin.evaluation.evaluation_set import EvaluationSet
from hf_rspin.evaluation.measures.bootstrap import bootstrap_interval
from hf_rspin.evaluation.measures.error_rates import ErrorCounts
from hf_rspin.evaluation.measures.unit_intervals import unit_intervals
from hf_rspin.evaluation.measures.unit_quality import perplexity
from hf_rspin.evaluation.probes.base import CleanFeatures, Drawing, Metric, Probe, Row
from hf_rspin.units import KMeans

if TYPE_CHECKING:
    from hf_rspin.evaluation.cells import Cell

PASSES, BATCHES = 10, 8


@dataclass(eq=False)
class UnitProbe(Probe):
    """Units of clean speech, learned per layer; phones and clean units tell how good they are.

    Without a training split the clusters are learned on the clean test utterances. Without
    alignments only what needs no label is measured.

    Args:
        num_units: clusters per layer.
        max_utterances: clusters are learned on this many, spread over the speakers; None: all.
        standardize: give every dimension of a layer mean 0 and variance 1 before: a few large
            dimensions (Whisper has some) decide the distances otherwise.
        seed: of clusters and choice.
    """

    name = "units"
    seeded = True
    learns_unlabelled = True
    metrics = (
        Metric(
            "pnmi", "Phones: what is said", "phone information (PNMI)",
            "Phone-normalised mutual information of k-means units of each layer: the share of what "
            "there is to know about the phone that the unit tells. Higher is better. "
            "results.csv has 95 % bootstrap intervals over speakers.",
            conditions="clean", better="higher",
        ),
        Metric(
            "unit_agreement", "Units that a distortion leaves as they are", "equal units",
            "Share of frames whose unit is that of the same frame of clean speech. Higher is more "
            "robust, but only if the units still tell phones apart.",
            in_summary=False, layer_of="pnmi",
        ),
        Metric("phone_purity", "Phone purity of the units", "phone purity",
               "Accuracy of naming each frame by its unit's most frequent phone.",
               plotted=False, in_summary=False, layer_of="pnmi"),
        Metric("cluster_purity", "Cluster purity", "cluster purity",
               "Share of each phone's frames in its most frequent unit.",
               plotted=False, in_summary=False, layer_of="pnmi"),
        Metric("unit_perplexity", "Perplexity of the units", "perplexity of units",
               "Exponential of the entropy of the units; at most the number of clusters.",
               digits=1, plotted=False, in_summary=False),
        Metric("units_used", "Units that occur", "units used",
               "Number of clusters that occur in the test utterances.",
               digits=0, plotted=False, in_summary=False),
    )  # fmt: skip

    num_units: int = 64
    max_utterances: int | None = 200
    standardize: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.num_units < 2:
            raise ValueError(f"got num_units {self.num_units}; expected 2 or more.")

    def settings(self) -> dict[str, Any]:
        """Return what decides its numbers; what is off is not named, as in earlier versions."""
        found = super().settings()
        return found if self.standardize else {k: found[k] for k in found if k != "standardize"}

    def reason_to_skip(self, test: EvaluationSet, train: EvaluationSet | None) -> str | None:
        """Check the alignments, where there are any; nothing is needed."""
        test.check_alignments()
        return None

    def remark(self, test: EvaluationSet) -> str | None:
        """Name the missing alignments."""
        if test.alignments is None:
            return "Phone information is left out: the recordings have no phone alignment."
        return None

    def fit(self, features: CleanFeatures, state: Path) -> None:
        """Cluster the frames of each layer, and name those of clean test speech."""
        store, rows = features.to_learn_from(self.max_utterances, self.seed)
        self._kmeans = []
        for layer in range(store.num_layers):
            frames = [store.layer(i, layer).numpy() for i in rows]
            self._kmeans.append(fit_units(frames, self.num_units, self.seed, self.standardize))
        self._speakers = features.test.groups()
        self._phones = features.test.frame_labels()
        if self._phones is not None:
            lengths = features.test_store.lengths
            self._phones = [
                labels_at(labels, count)
                for labels, count in zip(self._phones, lengths, strict=True)
            ]
            named = features.test.phones_of_frames()
            self._names = sorted({phone for row in named for phone in row} - {SILENCE})
        self._clean = [self._units(features.test_store.peek(i)) for i in range(len(features.test))]

    def begin(self, condition: Distortion) -> None:
        """Forget the units."""
        self._is_clean = condition.name == CLEAN
        self._found: list[np.ndarray] = []

    def update(self, index: int, features: Tensor) -> None:
        """Name the units of one utterance."""
        self._found.append(self._clean[index] if self._is_clean else self._units(features))

    def rows(self) -> list[Row]:
        """Return the numbers of each layer."""
        rows = []
        self._pnmi: list[float] = []
        for layer in range(len(self._kmeans)):
            units = [found[layer] for found in self._found]
            everything = np.concatenate(units)
            values = {
                "unit_perplexity": perplexity(everything),
                "units_used": len(np.unique(everything)),
            }
            if not self._is_clean:
                rows.append(self._agreement(layer))
            if self._phones is not None:
                found = unit_intervals(self._phones, units, self._speakers)
                self._pnmi.append(found["pnmi"].value)
                rows += [Row.of_interval(name, one, layer) for name, one in found.items()]
            rows += [Row(name, float(value), layer) for name, value in values.items()]
        return rows

    def _agreement(self, layer: int) -> Row:
        """Return the share of frames with the unit of clean speech, with its interval."""
        pairs = zip(self._found, self._clean, strict=True)
        equal = np.array([(found[layer] == clean[layer]).sum() for found, clean in pairs])
        lengths = np.array([found.shape[1] for found in self._found])
        found = bootstrap_interval(ErrorCounts(equal, lengths), self._speakers)
        return Row.of_interval("unit_agreement", found, layer)

    def details(self) -> dict[str, Any]:
        """Return, of clean speech, the units of the layer that tells most of phones.

        Without alignments: of the last layer. `occurrences` has an entry per unit; `counts` a row
        per phone and a column per unit, in frames.
        """
        if not self._is_clean:
            return {}
        layer = int(np.argmax(self._pnmi)) if self._pnmi else len(self._kmeans) - 1
        units = np.concatenate([found[layer] for found in self._found])
        found = {
            "layer": layer, "occurrences": np.bincount(units, minlength=self.num_units).tolist()
        }  # fmt: skip
        if self._phones is None:
            return found
        phones = np.concatenate(self._phones)
        counts = np.zeros((len(self._names), self.num_units), dtype=np.int64)
        np.add.at(counts, (phones[phones >= 0], units[phones >= 0]), 1)
        return found | {"phones": self._names, "counts": counts.tolist()}

    @classmethod
    def draw(cls, cells: Sequence[Cell]) -> list[Drawing]:
        """Draw which phones each unit stands for, per encoder, and how often units occur."""
        cells = one_per_encoder(cells, "occurrences")
        drawings = [_draw_phones(cell) for cell in cells if "counts" in cell.details]
        return drawings + ([_draw_use(cells)] if cells else [])

    def _units(self, features: Tensor) -> np.ndarray:
        """(layers, frames, dim) -> (layers, frames)."""
        pairs = zip(self._kmeans, features, strict=True)
        return np.stack([kmeans.predict(layer.numpy()) for kmeans, layer in pairs])


def one_per_encoder(cells: Sequence[Cell], detail: str) -> list[Cell]:
    """Return the first cell of each encoder that has a detail: of several seeds one is drawn."""
    found: dict[str, Cell] = {}
    for cell in cells:
        if detail in cell.details:
            found.setdefault(cell.encoder, cell)
    return list(found.values())


def _draw_phones(cell: Cell) -> Drawing:
    from hf_rspin.evaluation.plots import plot_phone_given_unit

    found = cell.details
    counts = np.array(found["counts"], dtype=np.float64)
    share = counts / np.maximum(counts.sum(axis=0), 1)
    figure = plot_phone_given_unit(share, found["phones"], "")
    return Drawing(
        f"Phones of the units of {cell.encoder}", figure,
        f"How likely each phone is where a unit occurs, of k-means units of layer {found['layer']},"
        " the layer that tells most of phones, in clean speech; silence is left out. A dark column"
        " is a unit that stands for one phone.",
    )  # fmt: skip


def _draw_use(cells: Sequence[Cell]) -> Drawing:
    from hf_rspin.evaluation.plots import plot_unit_use

    names = {f"{cell.encoder}, {cell.details['layer']}": cell for cell in cells}
    counts = {name: np.array(cell.details["occurrences"]) for name, cell in names.items()}
    return Drawing(
        "How often units occur", plot_unit_use(counts),
        "Frames of clean speech that each k-means unit names, the most frequent unit first, in "
        "the layer that tells most of phones (the number after the encoder; the last one where "
        "there are no alignments). A flat line uses its units evenly.",
    )  # fmt: skip


def fit_units(
    frames: Sequence[np.ndarray], num_units: int, seed: int = 0, standardize: bool = False
) -> KMeans:
    """Cluster the frames (frames, dim) of some utterances, standardised per dimension or not."""
    everything = np.concatenate(frames)
    if len(everything) < num_units * BATCHES:
        raise ValueError(
            f"got {len(everything)} frames for {num_units} units; expected {BATCHES} per unit or "
            "more: give more speech, or ask for fewer units."
        )
    kmeans = KMeans(num_units, seed)
    if standardize:
        kmeans.standardize_by(everything)
    generator = np.random.default_rng(seed)
    for _ in range(PASSES):
        kmeans.reset_counts()
        order = generator.permutation(len(everything))
        kmeans.fit_stream(np.array_split(everything[order], BATCHES))
    return kmeans


def labels_at(labels: np.ndarray, frames: int) -> np.ndarray:
    """Return labels (at 50 Hz) at the frames of an encoder that has fewer by a whole factor.

    Raises:
        ValueError: the two numbers do not fit each other.
    """
    factor = max(1, round(len(labels) / frames))
    if abs(len(labels) - factor * frames) > (factor if factor > 1 else 0):
        raise ValueError(
            f"got {len(labels)} phone labels for {frames} frames of the encoder; expected as many, "
            "or a multiple: check the alignment."
        )
    places = np.arange(frames) * factor + factor // 2
    return labels[np.minimum(places, len(labels) - 1)]
