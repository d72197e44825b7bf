"""`SpeechTrainer` of a CTC fine-tune: whole utterances, error rates on a dev split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from peft import PeftModel
from transformers import PreTrainedModel, TrainerCallback, Wav2Vec2Processor

from hf_rspin.ctc.checks import check_transcribed
from hf_rspin.ctc.data import CtcCollator, CtcDataset
from hf_rspin.ctc.recognition import recognize, score
from hf_rspin.ctc.splits import EvaluationSplit
from hf_rspin.ctc.training_arguments import CtcTrainingArguments
from hf_rspin.training.trainer import SpeechTrainer


class CtcTrainer(SpeechTrainer):
    """`SpeechTrainer` with what CTC hands in: collator, checks, error rates as evaluation.

    Optimiser and linear schedule are those of `Trainer`. The processor is saved beside every
    model, so that a checkpoint works in a pipeline too.

    Args:
        model: with a CTC head, or a peft model on one.
        args: optimisation.
        train_dataset: utterances and labels.
        eval_dataset: what `evaluate` measures on.
        processor: feature extractor and tokenizer.
        target: "text" or "phones".
        callbacks: further callbacks.
        **kwargs: other arguments of `SpeechTrainer`.
    """

    def __init__(
        self,
        model: PreTrainedModel | PeftModel,
        args: CtcTrainingArguments,
        train_dataset: CtcDataset | None = None,
        eval_dataset: EvaluationSplit | None = None,
        *,
        processor: Wav2Vec2Processor,
        target: str,
        callbacks: Sequence[TrainerCallback] | None = None,
        **kwargs: Any,
    ):
        self.processor, self.target = processor, target
        kwargs.setdefault("data_collator", CtcCollator(processor.feature_extractor.do_normalize))
        kwargs.setdefault("checks", (check_transcribed,))
        vocabulary = {"target": target, "vocabulary": sorted(processor.tokenizer.get_vocab())}
        super().__init__(
            model, args, train_dataset, eval_dataset, processor,
            evaluate_with=error_rates_of, mean_over_batch=True, callbacks=callbacks or (),
            provenance=vocabulary, **kwargs,
        )  # fmt: skip


def error_rates_of(trainer: CtcTrainer, split: EvaluationSplit) -> dict[str, float]:
    """Return loss and error rates over a split, in the precision of training."""
    args = trainer.args
    recognized = recognize(
        trainer.model, trainer.processor, split, args.process_index, args.world_size
    )
    return score(recognized, trainer.target)
