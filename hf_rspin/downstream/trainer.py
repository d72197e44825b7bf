"""The Trainer of a CTC fine-tune: whole utterances, error rates on a dev split."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import torch
from peft import PeftModel
from transformers import PreTrainedModel, Trainer, Wav2Vec2Processor

from hf_rspin.data.checks import raise_problems
from hf_rspin.downstream.arguments import CtcTrainingArguments
from hf_rspin.downstream.dataset import CtcCollator, CtcDataset
from hf_rspin.downstream.preflight import check_ctc_run
from hf_rspin.downstream.recognition import recognize, score
from hf_rspin.downstream.splits import EvaluationSplit
from hf_rspin.downstream.vocabulary import save_processor
from hf_rspin.training.callbacks import CollapseMonitor
from hf_rspin.training.trainer import TwoViewTrainer

logger = logging.getLogger(__name__)


class CtcTrainer(TwoViewTrainer):
    """Train a model with a CTC head; `TwoViewTrainer` says what else it does.

    Batches by duration, exact resume, hours and skipped files in the logs come from there; the
    optimiser and the linear schedule are those of `Trainer`. The processor is saved beside every
    model, so that a checkpoint works in a pipeline too.

    Args:
        model: with a CTC head, or a peft model on one.
        args: optimisation.
        train_dataset: utterances and labels.
        eval_dataset: what `evaluate` measures on.
        processor: feature extractor and tokenizer.
        target: "text" or "phones".
        **kwargs: other arguments of `Trainer`.
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
        **kwargs,
    ):
        kwargs.setdefault("data_collator", CtcCollator(processor.feature_extractor.do_normalize))
        super().__init__(
            model, args, train_dataset, eval_dataset, processor.feature_extractor, **kwargs
        )
        self.processor, self.target = processor, target

    def create_scheduler(
        self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None
    ) -> torch.optim.lr_scheduler.LRScheduler:
        """Return the schedule that `lr_scheduler_type` names: linear from 0 and to 0."""
        return Trainer.create_scheduler(self, num_training_steps, optimizer)

    def evaluate(
        self,
        eval_dataset: EvaluationSplit | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """Return loss and error rates over a split, in the precision of training."""
        split = eval_dataset or self.eval_dataset
        recognized = recognize(
            self.model, self.processor, split, self.args.process_index, self.args.world_size
        )
        scores = score(recognized, self.target)
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in scores.items()}
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

    def _new_collapse_monitor(self, model: PreTrainedModel) -> CollapseMonitor:
        return CollapseMonitor(codebook_size=0)  # has nothing to watch but the loss

    def _check_run(self, resuming: bool) -> None:
        check_ctc_run(self.model, self.args, self.train_dataset, resuming)

    def _totals(self) -> dict[str, float]:
        totals = super()._totals()
        del totals["voices_unchanged"]
        return totals

    def _summarise(self) -> None:
        logger.info(
            "%d updates on %.2f h of speech; %s",
            self.state.global_step, self.processed_hours, self.skipped.summary(),
        )  # fmt: skip

    def _restore(self, checkpoint: Path) -> None:
        """Refuse a checkpoint whose classes are other ones; else as the parent."""
        file = checkpoint / "vocab.json"
        known = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
        if known != self.processor.tokenizer.get_vocab():
            raise_problems(
                [
                    f"{checkpoint} has another vocabulary than the transcripts now: train on the "
                    "same corpus and target, name another output_dir, or set overwrite_output_dir."
                ]
            )
        super()._restore(checkpoint)

    def _is_finished(self, checkpoint: Path) -> bool:
        finished = super()._is_finished(checkpoint)
        if finished and self.args.load_best_model_at_end and self.state.best_model_checkpoint:
            self._load_best_model()
        return finished

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        super()._save(output_dir, state_dict)
        save_processor(self.processor, output_dir or self.args.output_dir)
