"""The Trainer of two-view losses: batches by duration, named logs, exact resume."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

import torch
from torch.utils.data import DataLoader
from transformers import (
    PretrainedConfig,
    PreTrainedModel,
    Trainer,
    TrainerCallback,
    Wav2Vec2FeatureExtractor,
)
from transformers.utils import ModelOutput

from hf_rspin.audio import SAMPLING_RATE
from hf_rspin.data.collator import BatchInfo, TwoViewCollator
from hf_rspin.data.dataset import SkippedExample, TwoViewDataset
from hf_rspin.data.sampler import DurationBatchSampler
from hf_rspin.training.arguments import TwoViewTrainingArguments
from hf_rspin.training.callbacks import CollapseMonitor, LogBeforeSave
from hf_rspin.training.checkpoints import last_complete_checkpoint, load_progress, save_progress
from hf_rspin.training.freezing import freeze_lower_layers
from hf_rspin.training.meter import Meter
from hf_rspin.training.schedule import rise_and_fall

logger = logging.getLogger(__name__)


class EpochDataLoader(DataLoader):
    """A DataLoader that passes the epoch on to its batch sampler."""

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration yields."""
        self.batch_sampler.set_epoch(epoch)


class TwoViewTrainer(Trainer):
    """Train a model on two views per utterance.

    Beside `Trainer`: batches of `args.batch_seconds` (each rank draws its own share, so the loader
    is not prepared by accelerate), the paper's schedule and optimiser, gradient accumulation that
    averages micro-batches, the scalars of the model's output in the logs, a collapse monitor,
    preflight checks, resume from the last complete checkpoint, and the feature extractor saved
    beside every model. Runs on CPU, one GPU, or several under `torchrun` / `accelerate launch`.

    Args:
        model: its forward takes the batches of `TwoViewCollator` and returns `loss`.
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
        if args.num_trainable_layers is not None:
            freeze_lower_layers(model, args.num_trainable_layers)
        processing_class = processing_class or default_feature_extractor(model.config)
        kwargs.setdefault("data_collator", TwoViewCollator(processing_class.do_normalize))
        self.collapse_monitor = CollapseMonitor(model.config.codebook_size)
        super().__init__(
            model=model,
            args=args,
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            processing_class=processing_class,
            callbacks=[self.collapse_monitor, LogBeforeSave(), *(callbacks or [])],
            **kwargs,
        )
        # The model's loss is the mean of one micro-batch: neither it nor anything else has divided
        # by the accumulation steps, whatever `**kwargs` the forward takes.
        self.model_accepts_loss_kwargs = False
        self.loss_is_scaled_for_ga = False
        self.meter = Meter()
        self.skipped: dict[str, str] = {}

    # Batches

    def get_train_dataloader(self) -> DataLoader:
        """Return this rank's batches of the training data."""
        return self._loader(self.train_dataset)

    def get_eval_dataloader(self, eval_dataset: TwoViewDataset | None = None) -> DataLoader:
        """Return this rank's batches of the evaluation data, the same at every call."""
        return self._loader(eval_dataset or self.eval_dataset, shuffle=False)

    def _loader(self, dataset: TwoViewDataset, shuffle: bool = True) -> EpochDataLoader:
        args = self.args
        sampler = DurationBatchSampler(
            dataset.durations,
            args.batch_seconds,
            seed=args.seed if args.data_seed is None else args.data_seed,
            rank=args.process_index,
            world_size=args.world_size,
            shuffle=shuffle,
        )
        return EpochDataLoader(
            dataset,
            batch_sampler=sampler,
            collate_fn=self.data_collator,
            num_workers=args.dataloader_num_workers,
            pin_memory=args.dataloader_pin_memory and args.device.type == "cuda",
            persistent_workers=args.dataloader_persistent_workers,
            prefetch_factor=args.dataloader_prefetch_factor,
            multiprocessing_context=args.dataloader_multiprocessing_context,
            generator=torch.Generator(),  # the loader's own draws leave the global state alone
        )

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
        self.meter.add("voices_kept", info.voices_kept)
        self._note_skipped(info.skipped)
        return (outputs.loss, outputs) if return_outputs else outputs.loss

    # Logs

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the averages since the last log to a training log; all ranks log together."""
        if "loss" in logs:
            logs.update(self.meter.pop(self._sum_over_ranks))
            logs.update(self._totals())
        if "train_runtime" in logs:
            logs.pop("train_samples_per_second", None)  # assumes batches of a fixed size
            logs.update(self._totals())
        super().log(logs, start_time)

    def _totals(self) -> dict[str, float]:
        totals = self.meter.totals
        return {
            "processed_hours": totals.get("seconds", 0.0) / 3600,
            "voices_kept": totals.get("voices_kept", 0.0),
            "skipped_files": len(self.skipped),
        }

    def _sum_over_ranks(self, values: torch.Tensor) -> torch.Tensor:
        return self.accelerator.reduce(values.to(self.args.device), reduction="sum")

    def _note_skipped(self, skipped: Iterable[SkippedExample]) -> None:
        for example in skipped:
            if example.name not in self.skipped:
                self.skipped[example.name] = example.reason
                logger.warning("Skipped: %s", example.reason)

    # Resume

    def train(self, resume_from_checkpoint: str | bool | None = None, **kwargs):
        """Train; `resume_from_checkpoint=True` goes on from the newest complete checkpoint."""
        if resume_from_checkpoint is True:
            resume_from_checkpoint = last_complete_checkpoint(self.args.output_dir)
            if resume_from_checkpoint is None:
                raise ValueError(
                    f"{self.args.output_dir} holds no complete checkpoint to resume from: start "
                    "without resume_from_checkpoint."
                )
        if resume_from_checkpoint:
            self._load_progress(Path(resume_from_checkpoint))
            resume_from_checkpoint = str(resume_from_checkpoint)
        return super().train(resume_from_checkpoint, **kwargs)

    def _save_checkpoint(self, model: torch.nn.Module, trial) -> None:
        self.meter.gather_totals(self._sum_over_ranks)
        if self.args.should_save:
            folder = Path(self._get_output_dir(trial)) / f"checkpoint-{self.state.global_step}"
            save_progress(
                folder,
                {
                    "totals": self.meter.totals,
                    "skipped": self.skipped,
                    "code_perplexity_peak": self.collapse_monitor.peak,
                },
            )
        super()._save_checkpoint(model, trial)

    def _load_progress(self, checkpoint: Path) -> None:
        progress = load_progress(checkpoint)
        self.meter.totals = progress.get("totals", {})
        self.skipped = progress.get("skipped", {})
        self.collapse_monitor.peak = progress.get("code_perplexity_peak", 0.0)


def scalars(outputs: ModelOutput) -> dict[str, torch.Tensor]:
    """Return the named scalars of a model's output but the loss, which `Trainer` logs."""
    return {
        name: value
        for name, value in outputs.items()
        if isinstance(value, torch.Tensor) and value.dim() == 0 and name != "loss"
    }


def default_feature_extractor(config: PretrainedConfig) -> Wav2Vec2FeatureExtractor:
    """Return the feature extractor of an encoder, its `do_normalize` said explicitly.

    Base models (group norm front end) were trained on raw waveforms, large ones (layer norm) on
    waveforms of zero mean and unit variance.
    """
    return Wav2Vec2FeatureExtractor(
        feature_size=1,
        sampling_rate=SAMPLING_RATE,
        padding_value=0.0,
        do_normalize=config.feat_extract_norm == "layer",
        return_attention_mask=True,
    )
