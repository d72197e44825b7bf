"""The Trainer of two-view losses: batches by duration, named logs, exact resume."""

from __future__ import annotations

import logging

import torch
from peft import PeftModel
from torch.utils.data import DataLoader
from transformers import (
    PreTrainedModel,
    TrainerCallback,
    Wav2Vec2FeatureExtractor,
)
from transformers.trainer_utils import TrainOutput
from transformers.utils import ModelOutput

from hf_rspin.adapters import (
    AdapterGradientCheck,
    adapted_model,
    save_config,
)
from hf_rspin.data.collator import BatchInfo, TwoViewCollator
from hf_rspin.data.dataset import TwoViewDataset
from hf_rspin.data.sampler import DurationBatchSampler
from hf_rspin.data.skipped import SkipLog, share_skipped
from hf_rspin.models.encoder import default_feature_extractor
from hf_rspin.training.arguments import TwoViewTrainingArguments
from hf_rspin.training.callbacks import CollapseMonitor, LogBeforeSave
from hf_rspin.training.freezing import freeze_lower_layers
from hf_rspin.training.meter import Meter, scalars
from hf_rspin.training.preflight import check_run, check_same_data
from hf_rspin.training.resuming import ResumingTrainer
from hf_rspin.training.schedule import rise_and_fall
from hf_rspin.training.validation import mean_losses

logger = logging.getLogger(__name__)


class EpochDataLoader(DataLoader):
    """A DataLoader that passes the epoch on to its batch sampler."""

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration yields."""
        self.batch_sampler.set_epoch(epoch)


class TwoViewTrainer(ResumingTrainer):
    """Train a model on two views per utterance.

    Beside `Trainer`: batches of `args.batch_seconds` (each rank draws its own share, so the loader
    is not prepared by accelerate), the paper's schedule and optimiser, gradient accumulation that
    averages micro-batches, the scalars of the model's output in the logs, a collapse monitor,
    preflight checks, resume from the last complete checkpoint, and the feature extractor saved
    beside every model. Runs on CPU, one GPU, or several under `torchrun` / `accelerate launch`.

    Args:
        model: its forward takes the batches of `TwoViewCollator` and returns `loss`. A peft model
            trains its adapter and heads (`hf_rspin.adapters`); `num_trainable_layers` is then what
            the adapter was made with.
        args: optimisation.
        train_dataset: two views by (epoch, index).
        eval_dataset: the same; its views are those of epoch 0 at every evaluation.
        processing_class: feature extractor to save; by default one that normalises waveforms for
            layer-norm front ends only, as the original models were trained.
        callbacks: further callbacks.
        **kwargs: other arguments of `Trainer`.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        args: TwoViewTrainingArguments,
        train_dataset: TwoViewDataset | None = None,
        eval_dataset: TwoViewDataset | None = None,
        processing_class: Wav2Vec2FeatureExtractor | None = None,
        callbacks: list[TrainerCallback] | None = None,
        **kwargs,
    ):
        if args.frozen_dropout:
            adapted_model(model).frozen_dropout = True
        is_adapted = isinstance(model, PeftModel)  # then all but the adapter is frozen already
        if args.num_trainable_layers is not None and not is_adapted:
            freeze_lower_layers(model, args.num_trainable_layers)
        processing_class = processing_class or default_feature_extractor(model.config)
        kwargs.setdefault("data_collator", TwoViewCollator(processing_class.do_normalize))
        self.collapse_monitor = self._new_collapse_monitor(model)
        super().__init__(
            model=model,
            args=args,
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            processing_class=processing_class,
            callbacks=[
                self.collapse_monitor,
                LogBeforeSave(),
                *([AdapterGradientCheck()] if is_adapted else []),
                *(callbacks or []),
            ],
            **kwargs,
        )
        # The model's loss is the mean of one micro-batch: neither it nor anything else has divided
        # by the accumulation steps, whatever `**kwargs` the forward takes.
        self.model_accepts_loss_kwargs = False
        self.loss_is_scaled_for_ga = False
        self.meter = Meter()
        self.skipped = SkipLog()
        if train_dataset is not None:
            self.skipped.reasons.update(train_dataset.skipped.reasons)

    # Batches

    def get_train_dataloader(self) -> DataLoader:
        """Return this rank's batches of the training data."""
        return self._loader(self.train_dataset)

    def get_eval_dataloader(self, eval_dataset: TwoViewDataset | None = None) -> DataLoader:
        """Return this rank's batches of the evaluation data, the same at every call."""
        return self._loader(eval_dataset or self.eval_dataset, shuffle=False)

    def _loader(self, dataset: TwoViewDataset, shuffle: bool = True) -> EpochDataLoader:
        args = self.args
        return EpochDataLoader(
            dataset,
            batch_sampler=self._batch_sampler(dataset, shuffle),
            collate_fn=self.data_collator,
            num_workers=args.dataloader_num_workers,
            pin_memory=args.dataloader_pin_memory and args.device.type == "cuda",
            persistent_workers=args.dataloader_persistent_workers,
            prefetch_factor=args.dataloader_prefetch_factor,
            multiprocessing_context=args.dataloader_multiprocessing_context,
            generator=torch.Generator(),  # the loader's own draws leave the global state alone
        )

    def _batch_sampler(self, dataset: TwoViewDataset, shuffle: bool) -> DurationBatchSampler:
        """Return this rank's share of the batches, which a trainer of other views may cut anew."""
        args = self.args
        return DurationBatchSampler(
            dataset.durations,
            args.batch_seconds,
            seed=args.seed if args.data_seed is None else args.data_seed,
            rank=args.process_index,
            world_size=args.world_size,
            shuffle=shuffle,
        )

    # What another loss replaces

    def _new_collapse_monitor(self, model: PreTrainedModel) -> CollapseMonitor:
        return CollapseMonitor(model.config.codebook_size)

    def _check_run(self, resuming: bool) -> None:
        check_run(self.model, self.args, self.train_dataset, resuming)

    # Optimisation

    def create_optimizer(self, model: torch.nn.Module | None = None) -> torch.optim.Optimizer:
        """Return the authors' Adam over what trains, or the optimiser that `optim` names."""
        if self.optimizer is None and self.args.use_adam:
            model = self.model if model is None else model
            self.optimizer = torch.optim.Adam(
                [parameter for parameter in model.parameters() if parameter.requires_grad],
                lr=self.args.learning_rate,
                betas=(self.args.adam_beta1, self.args.adam_beta2),
                eps=self.args.adam_epsilon,
                weight_decay=self.args.weight_decay,
            )
        return super().create_optimizer(model)

    def create_scheduler(
        self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None
    ) -> torch.optim.lr_scheduler.LRScheduler:
        """Return the paper's schedule, or the one that a changed `lr_scheduler_type` names."""
        if self.lr_scheduler is None and self.args.lr_scheduler_type == "linear":
            self.lr_scheduler = rise_and_fall(
                optimizer or self.optimizer,
                self.args.min_learning_rate,
                self.args.get_warmup_steps(num_training_steps),
                num_training_steps,
            )
            self._created_lr_scheduler = True
        return super().create_scheduler(num_training_steps, optimizer)

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict,
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor | tuple[torch.Tensor, ModelOutput]:
        """Return the loss of one micro-batch, and note its named parts for the next log."""
        info: BatchInfo = inputs.pop("batch_info")
        outputs = model(**inputs)
        self.meter.update(scalars(outputs))
        self.meter.add("seconds", info.seconds)
        self.meter.add("voices_unchanged", info.voices_unchanged)
        for skipped in info.skipped:
            self.skipped.add(skipped)
        return (outputs.loss, outputs) if return_outputs else outputs.loss

    # Logs

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the averages since the last log to a training log; all ranks log together."""
        if "loss" in logs:
            logs.update(self.meter.pop(self._sum_over_ranks))
            share_skipped(self.skipped)
            logs.update(self._totals())
        if "train_runtime" in logs:
            logs.pop("train_samples_per_second", None)  # assumes batches of a fixed size
            self.meter.gather_totals(self._sum_over_ranks)
            share_skipped(self.skipped)
            logs.update(self._totals())
        super().log(logs, start_time)

    @property
    def processed_hours(self) -> float:
        """Hours of one view that were trained on by all processes, as of the last log."""
        return self.meter.totals.get("seconds", 0.0) / 3600

    def _totals(self) -> dict[str, float]:
        totals = self.meter.totals
        return {
            "processed_hours": self.processed_hours,
            "voices_unchanged": totals.get("voices_unchanged", 0.0),
            "skipped_files": len(self.skipped),
        }

    def _sum_over_ranks(self, values: torch.Tensor) -> torch.Tensor:
        return self.accelerator.reduce(values.to(self.args.device), reduction="sum")

    # Runs

    def train(self, resume_from_checkpoint: str | bool | None = None, **kwargs) -> TrainOutput:
        """Check the run, then train it.

        Args:
            resume_from_checkpoint: True goes on from the newest complete checkpoint, a path from
                that one.
            **kwargs: other arguments of `Trainer.train`.

        Raises:
            PreflightError: the run cannot work; the message lists every reason.
            ValueError: there is no complete checkpoint to resume from.
            FloatingPointError: the loss became NaN or infinite.
        """
        checkpoint = self._checkpoint(resume_from_checkpoint)
        self._check_run(resuming=checkpoint is not None)
        self._check_adapter(checkpoint)
        check_same_data(self.train_dataset)
        self._clean_output_dir(resuming=checkpoint is not None)
        if checkpoint is None:
            self.meter, self.collapse_monitor.peak, self.seconds_before = Meter(), 0.0, 0.0
            output = super().train(**kwargs)
        else:
            self._restore(checkpoint)
            if self._is_finished(checkpoint):
                return TrainOutput(self.state.global_step, float("nan"), self._totals())
            output = super().train(str(checkpoint), **kwargs)
        self._summarise()
        return output

    def evaluate(
        self,
        eval_dataset: TwoViewDataset | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """Return the loss and its named parts over `eval_dataset`, in eval mode."""
        means = mean_losses(self, self.get_eval_dataloader(eval_dataset))
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in means.items()}
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

    def _summarise(self) -> None:
        totals = self._totals()
        logger.info(
            "%d updates on %.2f h of speech; the voice of %d examples could not be changed; %s",
            self.state.global_step, totals["processed_hours"], totals["voices_unchanged"],
            self.skipped.summary(),
        )  # fmt: skip

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        super()._save(output_dir, state_dict)
        if self.args.should_save and isinstance(self.model, PeftModel):
            save_config(self.model, output_dir or self.args.output_dir)
