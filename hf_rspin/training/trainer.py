"""One trainer for every objective: batches by duration, named logs, checks, exact resume."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch.utils.data import DataLoader, Dataset, Sampler
from transformers import (
    FeatureExtractionMixin,
    PreTrainedModel,
    ProcessorMixin,
    Trainer,
    TrainerCallback,
    set_seed,
)
from transformers.trainer_utils import TrainOutput
from transformers.utils import ModelOutput

from hf_rspin.adapters import AdapterGradientCheck, adapted_model, save_config
from hf_rspin.data.collator import BatchInfo
from hf_rspin.data.skipped import SkippedFiles, share_skipped
from hf_rspin.models.faster_training import speed_up_training
from hf_rspin.models.folders import feature_extractor_of
from hf_rspin.publishing.model_card import ModelCardInfo
from hf_rspin.training.callbacks import (
    LogBeforeSave,
    LossCheck,
    ResumedCallback,
    RunProgress,
    StopOnSignal,
    StoppedBySignalError,
)
from hf_rspin.training.checkpoints import full_disk_explained
from hf_rspin.training.checks import Check
from hf_rspin.training.cost_callback import CostCallback
from hf_rspin.training.loss_tracker import LossTracker, mean_losses, scalars
from hf_rspin.training.output_lock import output_lock
from hf_rspin.training.provenance import save_provenance
from hf_rspin.training.resuming import (
    load_if_finished,
    mark_trained_heads,
    prepare_run,
    restore_callbacks,
)
from hf_rspin.training.run_card import ModelCardCallback, push
from hf_rspin.training.sampling import EpochDataLoader, duration_batches
from hf_rspin.training.schedule import follow_own_schedule
from hf_rspin.training.training_arguments import SpeechTrainingArguments

logger = logging.getLogger(__name__)

BatchSampler = Callable[[Dataset, SpeechTrainingArguments, bool], Sampler]
Evaluate = Callable[["SpeechTrainer", Any], dict[str, float]]
Schedule = Callable[[torch.optim.Optimizer, int], torch.optim.lr_scheduler.LRScheduler]


class SpeechTrainer(Trainer):
    """`transformers.Trainer` with what speech needs; objectives hand in what is theirs.

    Beside `Trainer`: batches of `args.batch_seconds` (each rank draws its own share, so the loader
    is not prepared by accelerate), gradient accumulation that averages micro-batches, the scalars
    of the model's output in the logs, checks before the first step, a stop at NaN, one run at a
    time in an output folder, signals with a checkpoint, exact resume that refuses other
    settings, and folders that are complete (feature extractor, model card). Runs on CPU, one GPU,
    or several under `torchrun` / `accelerate launch`.

    Args:
        model: its forward takes the batches of `data_collator` and returns `loss`. A peft model
            trains its adapter and heads (`hf_rspin.adapters`).
        args: optimisation.
        train_dataset: indexed by the keys of its batch sampler, with `durations` and
            `full_durations` in seconds and `skipped` files.
        eval_dataset: the same, or what `evaluate_with` takes.
        processing_class: feature extractor or processor to save; by default one that normalises
            waveforms for layer-norm front ends only, as the original models were trained.
        batch_sampler: makes this rank's batches of a data set; see `hf_rspin.training.sampling`.
        checks: what the objective needs; see `hf_rspin.training.checks`.
        schedule: makes the scheduler for an optimiser and a number of updates; None for the one
            that `args.lr_scheduler_type` names.
        evaluate_with: measures on an evaluation set; None for the mean loss over its batches.
        complete_batch: adds to a batch before the forward, in place.
        mean_over_batch: the loss is a mean over the utterances of a batch, so that ranks with
            fewer of them weigh less; False where the loss sums over ranks itself.
        provenance: fingerprints of what else decides the run (noise, for instance), by name.
        callbacks: further callbacks, the collapse monitor of the objective among them.
        **kwargs: other arguments of `Trainer`, such as `optimizer_cls_and_kwargs`.

    Attributes:
        run_arguments: dataclasses with the settings of the run beside `args`.
        card_info: what else the card should say, such as licence, language or evaluations.
        progress: totals over interruptions.
    """

    def __init__(
        self,
        model: PreTrainedModel | PeftModel,
        args: SpeechTrainingArguments,
        train_dataset: Dataset | None = None,
        eval_dataset: Any = None,
        processing_class: FeatureExtractionMixin | ProcessorMixin | None = None,
        *,
        batch_sampler: BatchSampler = duration_batches,
        checks: Sequence[Check] = (),
        schedule: Schedule | None = None,
        evaluate_with: Evaluate | None = None,
        complete_batch: Callable[[dict], None] | None = None,
        mean_over_batch: bool = False,
        provenance: Mapping[str, Any] | None = None,
        callbacks: Sequence[TrainerCallback] = (),
        **kwargs: Any,
    ):
        self.run_arguments: tuple[Any, ...] = ()
        self.card_info: ModelCardInfo | None = None
        self.progress, self.stop = RunProgress(), StopOnSignal()
        self.loss_tracker = LossTracker(self.progress.totals)
        self._batch_sampler_of, self._checks = batch_sampler, tuple(checks)
        self._schedule, self._evaluate_with = schedule, evaluate_with
        self._complete_batch = complete_batch
        self.mean_over_batch, self.provenance = mean_over_batch, dict(provenance or {})
        adapter_check = [AdapterGradientCheck()] if isinstance(model, PeftModel) else []
        speed_up_training(adapted_model(model).base_model)
        super().__init__(
            model=model,
            args=args,
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            processing_class=processing_class or feature_extractor_of(adapted_model(model)),
            callbacks=[self.progress, self.stop, LossCheck(), *adapter_check, *callbacks,
                       LogBeforeSave(), CostCallback(self.progress)],
            **kwargs,
        )  # fmt: skip
        self.card = ModelCardCallback(self)
        # The model's loss is the mean of one micro-batch: neither it nor anything else has divided
        # by the accumulation steps, whatever `**kwargs` the forward takes.
        self.model_accepts_loss_kwargs = False
        self.loss_is_scaled_for_ga = False
        if train_dataset is not None:
            self.skipped.reasons.update(train_dataset.skipped.reasons)

    @property
    def skipped(self) -> SkippedFiles:
        """Files that could not be used."""
        return self.progress.skipped

    @property
    def wall_seconds(self) -> float:
        """Duration of the run so far, without the time that it lay interrupted."""
        return self.progress.wall_seconds

    @property
    def processed_hours(self) -> float:
        """Hours of one view that were trained on by all processes, as of the last log."""
        return self.loss_tracker.totals.get("seconds", 0.0) / 3600

    @property
    def evaluates_batches(self) -> bool:
        """Whether an evaluation set is of the same kind as the training data."""
        return self._evaluate_with is None

    # Batches

    def get_train_dataloader(self) -> DataLoader:
        """Return this rank's batches of the training data."""
        return self._loader(self.train_dataset)

    def get_eval_dataloader(self, eval_dataset: Dataset | None = None) -> DataLoader:
        """Return this rank's batches of the evaluation data, the same at every call."""
        dataset = self.eval_dataset if eval_dataset is None else eval_dataset
        return self._loader(dataset, shuffle=False)

    def _loader(self, dataset: Dataset, shuffle: bool = True) -> EpochDataLoader:
        sampler = self._batch_sampler_of(dataset, self.args, shuffle)
        return EpochDataLoader.of(dataset, sampler, self.data_collator, self.args)

    # Optimisation

    def create_scheduler(
        self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None
    ) -> torch.optim.lr_scheduler.LRScheduler:
        """Return the schedule of the objective, or the one that `lr_scheduler_type` names."""
        if self.lr_scheduler is None and self._schedule is not None:
            self.lr_scheduler = self._schedule(optimizer or self.optimizer, num_training_steps)
            self._created_lr_scheduler = True
        return super().create_scheduler(num_training_steps, optimizer)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            follow_own_schedule(self.lr_scheduler)

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict,
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor | tuple[torch.Tensor, ModelOutput]:
        """Return the loss of one micro-batch, and note its named parts for the next log."""
        info: BatchInfo = inputs.pop("batch_info")
        if self._complete_batch is not None:
            self._complete_batch(inputs)
        outputs, weight = model(**inputs), self._weight_of(inputs)
        self.loss_tracker.update(scalars(outputs), weight)
        self.loss_tracker.add("seconds", info.seconds)
        self.loss_tracker.add("num_unperturbed", info.num_unperturbed)
        for skipped in info.skipped:
            self.skipped.add(skipped)
        loss = weight * outputs.loss if self.mean_over_batch else outputs.loss
        return (loss, outputs) if return_outputs else loss

    def _weight_of(self, inputs: dict) -> float:
        """Return this rank's share of the utterances of all ranks, times the number of ranks.

        DistributedDataParallel averages the gradients of the ranks, and the logs do the same:
        weighted so, means over a batch become the mean over all utterances.
        """
        if self.args.world_size == 1:
            return 1.0
        count = torch.tensor(float(len(inputs["input_values"])))
        return float(count * self.args.world_size / self._sum_over_ranks(count).cpu())

    # Logs

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the averages since the last log to a training log; all ranks log together."""
        if "loss" in logs:
            logs.update(self.loss_tracker.compute(self._sum_over_ranks))
        if "loss" in logs or "train_runtime" in logs:
            self._share_totals()
            logs.update(self._totals())
        if "train_runtime" in logs:
            logs.pop("train_samples_per_second", None)  # assumes batches of a fixed size
        step = {"step": self.state.global_step}  # first, where a console prints it
        super().log(step | logs, start_time)

    def _share_totals(self) -> None:
        """Bring together what the processes counted and skipped; all of them call this."""
        self.loss_tracker.gather_totals(self._sum_over_ranks)
        share_skipped(self.skipped)

    def _totals(self) -> dict[str, float]:
        totals = {"processed_hours": self.processed_hours, "skipped_files": len(self.skipped)}
        if hasattr(self.train_dataset, "views") and self.train_dataset.views is not None:
            totals["num_unperturbed"] = self.loss_tracker.totals.get("num_unperturbed", 0.0)
        return totals

    def _sum_over_ranks(self, values: torch.Tensor) -> torch.Tensor:
        return self.accelerator.reduce(values.to(self.args.device), reduction="sum")

    # Runs

    def train(self, resume_from_checkpoint: str | bool | None = None, **kwargs: Any) -> TrainOutput:
        """Check the run, then train it.

        Args:
            resume_from_checkpoint: True goes on from the newest complete checkpoint, a path from
                that one.
            **kwargs: other arguments of `Trainer.train`.

        Raises:
            ConfigurationError: the run cannot work, or the checkpoint is of other settings; the
                message lists every reason.
            OutputLockedError: another run is going on in the output folder.
            ValueError: there is no complete checkpoint to resume from.
            FloatingPointError: a loss or a gradient became NaN or infinite.
            StoppedBySignalError: Ctrl-C, SIGTERM or SIGUSR1, after a checkpoint was saved.
        """
        with output_lock(self.args.output_dir, self.args.should_save):
            checkpoint, self._record = prepare_run(self, self._checks, resume_from_checkpoint)
            with self.progress.clock(), self.stop.handlers():
                output = self._train_from(checkpoint, **kwargs)
        if self.stop.received:
            raise StoppedBySignalError(
                self.stop.received, self.state.global_step, self.args.output_dir
            )
        return output

    def _train_from(self, checkpoint: Path | None, **kwargs: Any) -> TrainOutput:
        if self.args.process_index > 0:  # dropout, masks and coins of their own on every rank
            set_seed(self.args.seed + self.args.process_index)
        if checkpoint is None:
            self.loss_tracker = LossTracker(self.progress.totals)
            for callback in self._resumed_callbacks():
                callback.begin()
            output = super().train(**kwargs)
        else:
            self.loss_tracker = LossTracker(self.progress.totals)
            restore_callbacks(self._resumed_callbacks(), checkpoint)
            if load_if_finished(self, checkpoint):
                mark_trained_heads(self)
                return TrainOutput(self.state.global_step, float("nan"), self._totals())
            output = super().train(str(checkpoint), **kwargs)
        mark_trained_heads(self)
        self._summarise()
        return output

    def _resumed_callbacks(self) -> list[ResumedCallback]:
        return [c for c in self.callback_handler.callbacks if isinstance(c, ResumedCallback)]

    def _load_callback_state(self) -> None:
        """Leave our callbacks out: `_restore` has set them in place."""
        saved = self.state.stateful_callbacks
        names = [type(callback).__name__ for callback in self._resumed_callbacks()]
        ours = {name: saved.pop(name, {}) for name in names}
        super()._load_callback_state()
        saved.update(ours)

    def evaluate(
        self,
        eval_dataset: Any = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """Return what is measured on `eval_dataset` in eval mode: the loss and its named parts."""
        dataset = self.eval_dataset if eval_dataset is None else eval_dataset
        measure = self._evaluate_with or mean_losses
        found = measure(self, dataset)
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in found.items()}
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

    def _summarise(self) -> None:
        totals = self._totals()
        voices = totals.get("num_unperturbed")
        text = "" if voices is None else f" the voice of {voices:g} examples could not be changed;"
        logger.info(
            "%d updates on %.2f h of speech;%s %s",
            self.state.global_step, totals["processed_hours"], text, self.skipped.summary(),
        )  # fmt: skip

    # Folders

    def _save_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:
        self._share_totals()
        if self.args.should_save:
            folder = Path(self._get_output_dir(trial)) / f"checkpoint-{self.state.global_step}"
            save_provenance(folder, self._record)
        with full_disk_explained(self.args.output_dir):
            super()._save_checkpoint(model, trial)

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        folder = Path(output_dir or self.args.output_dir)
        mark_trained_heads(self)
        before = self.card.before_saving(folder)
        super()._save(str(folder), state_dict)
        extractor = getattr(self.processing_class, "feature_extractor", None)
        if extractor is not None:  # also where older versions look for it
            extractor.save_pretrained(folder)
        if self.args.should_save:
            self.card.after_saving(folder, before)
            if isinstance(self.model, PeftModel):
                save_config(self.model, folder)

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the card is saved with the model."""

    def push_to_hub(
        self,
        commit_message: str = "End of training",
        blocking: bool = True,
        token: str | None = None,
        revision: str | None = None,
        **kwargs: Any,
    ) -> str | None:
        """Save the model and upload it in one commit, from the first process; return its address.

        Arguments are those of `hf_rspin.training.run_card.push`, `private` among them; `blocking`
        is not used, as the upload is over when this returns, nor are others: `card_info` has what
        the card says.
        """
        self.callback_handler.on_push_begin(self.args, self.state, self.control)
        self.save_model(_internal_call=True)
        if not self.is_world_process_zero():
            return None
        self._finish_current_push()
        return push(self, commit_message, token, revision, kwargs.get("private"))
