"""Print the phone information of k-means units of every layer, on the embedded aligned sample.

    python training_scripts/measure_units.py --encoders embedded runs/rspin_small

Clusters are fitted on the train split, figures are of the test split, silence is left out; units of
MFCC stand beside them.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field

import torch

from hf_rspin.evaluation import Evaluation, UnitProbe, Utterances, load_front_end, to_table
from hf_rspin.evaluation.table import layer_summary, markdown_table
from hf_rspin.resources import load_sample
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
        probe = UnitProbe(arguments.num_units, max_utterances=None)
        front_ends = [
            load_front_end(resolve_encoder(name), name, has_fast_bfloat16())
            for name in arguments.encoders
        ]
    train, test = (
        Utterances.from_corpus(load_sample(split), keep_waveforms=True)
        for split in ("train", "test")
    )
    with tempfile.TemporaryDirectory() as folder:
        evaluation = Evaluation(folder, test, [], [probe], train, torch.float32)
        for front_end in [*front_ends, load_front_end("mfcc", "MFCC")]:
            evaluation.run(front_end)
        summary = layer_summary(to_table(evaluation.cells()))
    print(markdown_table(summary.headers, summary.rows))


if __name__ == "__main__":
    main()
