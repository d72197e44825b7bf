"""Fine-tune an encoder with CTC on transcribed speech: words, characters or phones.

    python training_scripts/finetune_ctc.py training_scripts/configs/ctc_small.yaml \
        --encoder runs/rspin --corpus speech --output_dir runs/ctc

The corpus has a column `text` or `phones`. Error rates go to results.json in the output folder,
which `pipeline("automatic-speech-recognition", model=folder)` loads. Killed at any moment, the same
command goes on where it stopped. Several GPUs: start it with `torchrun --nproc_per_node N`.
Options: `--help`.
"""

from __future__ import annotations

from transformers import set_seed

from hf_rspin.adapters import AdapterArguments
from hf_rspin.downstream import (
    CtcCorpusArguments,
    CtcModelArguments,
    CtcTrainingArguments,
    build_fine_tune,
    fine_tune,
)
from hf_rspin.training.mistakes import WHILE_RUNNING, mistakes_explained
from hf_rspin.training.parsing import parse_arguments
from hf_rspin.training.recipe import show_progress


def main() -> None:
    """Build, train, save, measure."""
    corpus, model, adapter, training = parse_arguments(
        CtcCorpusArguments, CtcModelArguments, AdapterArguments, CtcTrainingArguments
    )
    show_progress()
    set_seed(training.seed)
    with mistakes_explained():
        run = build_fine_tune(corpus, model, adapter, training)
    with mistakes_explained(WHILE_RUNNING):
        fine_tune(run)


if __name__ == "__main__":
    main()
