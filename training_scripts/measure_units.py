"""Print the phone information of k-means units of every layer, on the embedded aligned sample.

    python training_scripts/measure_units.py --encoders embedded runs/rspin_small

Clusters are fitted on the train split, figures are of the test split, silence is left out; units of
MFCC stand beside them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hf_rspin.analysis.adaptation import measure_layers, mfcc_pnmi
from hf_rspin.analysis.tables import markdown_table
from hf_rspin.evaluation.featurizer import load_front_end
from hf_rspin.evaluation.utterances import Utterances
from hf_rspin.resources import load_sample
from hf_rspin.resources.phones import sample_phones
from hf_rspin.training.encoders import resolve_encoder
from hf_rspin.training.hardware import has_fast_bfloat16
from hf_rspin.training.mistakes import mistakes_explained
from hf_rspin.training.parsing import parse_arguments


@dataclass
class UnitArguments:
    """What to measure."""

    encoders: list[str] = field(
        default_factory=lambda: ["embedded"], metadata={"help": "folders, Hub ids, or embedded"}
    )
    num_units: int = field(default=100, metadata={"help": "k-means clusters"})


def main() -> None:
    """Measure and print."""
    (arguments,) = parse_arguments(UnitArguments)
    with mistakes_explained():
        folders = [resolve_encoder(name) for name in arguments.encoders]
    train, test = (
        Utterances.from_corpus(load_sample(split), keep_waveforms=True)
        for split in ("train", "test")
    )
    phones = sample_phones()
    rows = []
    for name, folder in zip(arguments.encoders, folders, strict=True):
        with mistakes_explained():
            front_end = load_front_end(folder, name, has_fast_bfloat16())
        figures = measure_layers(front_end, train, test, [], phones, arguments.num_units)
        rows.append([name, *(f"{value:.3f}" for value in figures.pnmi)])
    width = max(len(row) for row in rows)
    baseline = f"{mfcc_pnmi(train, test, phones, arguments.num_units):.3f}"
    rows.append(["MFCC", baseline])
    rows = [row + [""] * (width - len(row)) for row in rows]
    print(markdown_table(["PNMI", *(f"layer {i}" for i in range(width - 1))], rows))


if __name__ == "__main__":
    main()
