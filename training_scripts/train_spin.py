"""Train Spin: the second view in another voice, the top layers learn to give both the same code.

    python training_scripts/train_spin.py training_scripts/configs/spin_hubert_base_2048.yaml \
        --output_dir runs/spin

Killed at any moment, the same command goes on where it stopped. Several GPUs: start it with
`torchrun --nproc_per_node N`. Options: `--help`.
"""

from __future__ import annotations

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
    show_progress,
)


def main() -> None:
    """Build, train, save."""
    corpus_arguments, view_arguments, model_arguments, adapter, training = parse_arguments(
        CorpusArguments, ViewArguments, ModelArguments, AdapterArguments, TwoViewTrainingArguments
    )
    if training.num_trainable_layers is None:
        training.num_trainable_layers = 2  # Spin collapses when everything trains
    show_progress()
    set_seed(training.seed)
    skipped = SkipLog(corpus_arguments.strict)
    with mistakes_explained():
        corpus = corpus_arguments.load(skipped)
        dataset = build_training_set(
            corpus, corpus_arguments, view_arguments.build(corpus), None, training.seed, skipped
        )
        model = adapter.wrap(
            model_arguments.build(), num_trainable_layers=training.num_trainable_layers
        )
        trainer = TwoViewTrainer(model, training, dataset)
    with mistakes_explained(WHILE_RUNNING):
        train_and_save(trainer, (corpus_arguments, view_arguments, model_arguments, adapter))


if __name__ == "__main__":
    main()
