"""Compare encoders on one corpus, clean and distorted: phones, words, speakers, units, similarity.

    hf-rspin evaluate evaluate_small.yaml \\
        --encoders log-mel encoder_folder rspin_folder \\
        --corpus speech --noise noise --rooms rooms \\
        --probes pr sid abx units cka \\
        --conditions clean gaussian noise_unseen reverb telephone \\
        --snr 10 0 -10 --seeds 3

A first look, minutes on a CPU:

    hf-rspin evaluate --encoders bundled mfcc --corpus speech \\
        --probes linear_phones units --conditions clean gaussian \\
        --test_utterances 100 --train_utterances 200

A plain folder of audio is enough for what needs no label. `metadata.csv` with `split` (train,
test), `speaker`, `phones`, `text` adds the rest, and times of phones and words, which may lie
beside it (`alignments.jsonl`, TextGrid, .phn, .wrd); what is missing is said. Whisper's encoder may
be among the encoders. Every pair of encoders is compared on the same utterances. Killed at any
moment, the same command goes on where it stopped; `--shard i --num_shards n` divides it among
processes. The output folder gets `report.html`, `results.md`, `results.json` and `results.csv`.
"""

from __future__ import annotations

import logging

from hf_rspin.evaluation.arguments import EvaluationScriptArguments
from hf_rspin.evaluation.probe_arguments import ProbeArguments
from hf_rspin.training.cli import parse_arguments


def main(arguments: list[str] | None = None) -> None:
    """Run the evaluation and print its tables."""
    parsed = parse_arguments(
        EvaluationScriptArguments, ProbeArguments, arguments=arguments, intro=__doc__
    )
    import torch

    from hf_rspin.evaluation.run import run_evaluation

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)  # the workers are the parallelism
    print(run_evaluation(*parsed))
