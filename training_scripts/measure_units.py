"""Print the phone information of k-means units of every layer, on the bundled aligned sample.

    python training_scripts/measure_units.py --encoders bundled runs/rspin_small

Clusters are fitted on the train split, figures are of the test split, silence is left out; units of
MFCC stand beside them.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass

import torch

from hf_rspin.evaluation import Evaluation, EvaluationSet, UnitProbe, load_features, to_table
from hf_rspin.evaluation.table import layer_summary, markdown_table
from hf_rspin.models.folders import resolve_encoder
from hf_rspin.resources import load_sample
from hf_rspin.training.cli import exit_on_user_error, parse_arguments
from hf_rspin.utils import option


@dataclass
class UnitArguments:
    """What to measure."""

    encoders: list[str] = option(["bundled"], "folders, Hub ids (Whisper too), or bundled")
    num_units: int = option(100, "k-means clusters")
    standardize_units: bool = option(
        False, "mean 0 and variance 1 in every dimension of a layer before k-means (Whisper)"
    )


def main() -> None:
    """Measure and print."""
    (arguments,) = parse_arguments(UnitArguments)
    with exit_on_user_error():
        probe = UnitProbe(arguments.num_units, None, arguments.standardize_units)
        feature_sets = [load_features(resolve_encoder(name), name) for name in arguments.encoders]
    train, test = (
        EvaluationSet.from_corpus(load_sample(split), keep_waveforms=True)
        for split in ("train", "test")
    )
    with tempfile.TemporaryDirectory() as folder:
        evaluation = Evaluation(folder, test, [], [probe], train, torch.float32)
        for encoder_features in [*feature_sets, load_features("mfcc", "MFCC")]:
            evaluation.run(encoder_features)
        summary = layer_summary(to_table(evaluation.cells()))
    print(markdown_table(summary.headers, summary.rows))


if __name__ == "__main__":
    main()
