"""Analyse encoders layer by layer, frame labels against phones, and what runs cost.

    hf-rspin analyse \\
        --encoders encoder_folder rspin_folder --corpus speech \\
        --what cka sid units segmentation pwcca mi tsne weights alignment

    hf-rspin analyse --corpus speech \\
        --labels runs/labels/units runs/labels/pieces

    hf-rspin analyse --what cost --runs runs/spin runs/rspin

`--what` is some of:

    cka           similarity of distorted and clean frames
    sid           speakers per layer
    units         what k-means units say of phones
    voice         pitch in frames and units, speakers in units
    segmentation  boundaries of units against those of phones
    pwcca         canonical correlation with phones, words, log-mel, word vectors
    mi            mutual information with phones and words
    sts           spoken sentence similarity, needs --sts
    tsne          frames on a plane
    weights       layers that the phone probe reads
    alignment     alignment, uniformity, effective rank
    cost          Table 5 of R-Spin for training runs, needs --runs

Corpus, conditions, resuming and output are those of `hf-rspin evaluate`; times of phones and
words come from the corpus, see `hf-rspin align`.
"""

from __future__ import annotations

import logging

from hf_rspin.evaluation.analysis_arguments import AnalysisArguments
from hf_rspin.evaluation.probe_arguments import ProbeArguments
from hf_rspin.training.cli import parse_arguments


def main(arguments: list[str] | None = None) -> None:
    """Run the analysis and print its tables."""
    parsed = parse_arguments(AnalysisArguments, ProbeArguments, arguments=arguments, intro=__doc__)
    import torch

    from hf_rspin.evaluation.analysis import run_analysis

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)  # the workers are the parallelism
    print(run_analysis(*parsed))
