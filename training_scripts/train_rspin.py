"""Train R-Spin: both views noisy, the second in another voice, pseudo-labels beside the codes.

    python training_scripts/train_rspin.py training_scripts/configs/rspin_wavlm_base_32_ap40k.yaml \
        --noise musan_folder --pseudo_labels runs/labels/pieces --output_dir runs/rspin

Killed at any moment, the same command goes on where it stopped. Several GPUs: start it with
`torchrun --nproc_per_node N`. Options: `--help`.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

from transformers import set_seed

from hf_rspin.adapters import AdapterArguments
from hf_rspin.data import SkipLog
from hf_rspin.training import TwoViewTrainer, TwoViewTrainingArguments
from hf_rspin.training.encoders import ModelArguments
from hf_rspin.training.finishing import train_and_save
from hf_rspin.training.mistakes import WHILE_RUNNING, mistakes_explained
from hf_rspin.training.parsing import parse_arguments
from hf_rspin.training.recipe import (
    CorpusArguments,
    ViewArguments,
    build_training_set,
    pieces_of_labels,
    show_progress,
)
from hf_rspin.units import FrameLabels


@dataclass
class RSpinArguments:
    """What R-Spin adds to Spin."""

    pseudo_labels: str | None = field(
        default=None,
        metadata={"help": "folder of make_pseudo_labels.py; none: no auxiliary loss (plain Spin)"},
    )
    without_noise: bool = field(
        default=False, metadata={"help": "both views stay clean, on purpose (an ablation)"}
    )


def check_noise(views: ViewArguments, without_noise: bool) -> None:
    """Refuse to leave the noise out by accident.

    Raises:
        SystemExit: neither noise nor `without_noise`, or both.
    """
    has_noise = views.noise is not None or views.babble_probability > 0
    if not has_noise and not without_noise:
        sys.exit(
            "R-Spin adds noise to both views, but no noise was given: pass --noise with a folder "
            "of recordings, or --without_noise true for an ablation."
        )
    if has_noise and without_noise:
        sys.exit("--without_noise came together with noise: leave out one of them.")


def main() -> None:
    """Build, train, save."""
    corpus_arguments, view_arguments, model_arguments, adapter, arguments, training = (
        parse_arguments(
            CorpusArguments,
            ViewArguments,
            ModelArguments,
            AdapterArguments,
            RSpinArguments,
            TwoViewTrainingArguments,
        )
    )
    check_noise(view_arguments, arguments.without_noise)
    show_progress()
    set_seed(training.seed)
    skipped = SkipLog(corpus_arguments.strict)
    with mistakes_explained():
        corpus = corpus_arguments.load(skipped)
        folder = arguments.pseudo_labels
        labels = FrameLabels.load(folder) if folder else None
        dataset = build_training_set(
            corpus, corpus_arguments, view_arguments.build(corpus), labels, training.seed, skipped
        )
        model = model_arguments.build(labels.num_labels if labels else None)
        model.acoustic_pieces = pieces_of_labels(folder, labels) if labels else None
        model = adapter.wrap(model, num_trainable_layers=training.num_trainable_layers)
        trainer = TwoViewTrainer(model, training, dataset)
    with mistakes_explained(WHILE_RUNNING):
        train_and_save(
            trainer, (corpus_arguments, view_arguments, model_arguments, adapter, arguments)
        )


if __name__ == "__main__":
    main()
