"""The Trainer of LASER and SCORE: two views of different lengths, and a teacher where asked for."""

from __future__ import annotations

import torch
from transformers import Trainer
from transformers.utils import ModelOutput

from hf_rspin.adapters import adapted_model
from hf_rspin.data.dataset import TwoViewDataset
from hf_rspin.data.samplers import PairBatchSampler, drawn_speeds
from hf_rspin.models import LaserHubertModel, LaserWavLMModel
from hf_rspin.training.frame_collapse import FrameCollapseMonitor
from hf_rspin.training.laser_arguments import LaserTrainingArguments
from hf_rspin.training.laser_preflight import check_laser_run
from hf_rspin.training.state_cache import LowerStateCache
from hf_rspin.training.trainer import TwoViewTrainer


class LaserTrainer(TwoViewTrainer):
    """Train a LASER or SCORE model; `TwoViewTrainer` says what else it does.

    Here the schedule is the stock linear one, batches are of `args.pairs_per_batch` pairs, the
    collapse monitor looks at the cosines of frames, and the first view may come from a cache.
    SCORE's teacher is the encoder as it is given here, unless the model has one: a resumed run
    must be given the encoder that the run began with.

    Args:
        model: a LASER or SCORE model.
        args: optimisation.
        train_dataset: with `LaserViews`.
        **kwargs: other arguments of `TwoViewTrainer`.

    Raises:
        ValueError: the cache in `args.lower_states_cache` is of other layers, or
            `train_encoder_norm` came with an adapter.
    """

    def __init__(
        self,
        model: LaserHubertModel | LaserWavLMModel,
        args: LaserTrainingArguments,
        train_dataset: TwoViewDataset | None = None,
        **kwargs,
    ):
        inner = adapted_model(model)
        if inner is model:
            model.train_encoder_norm = args.train_encoder_norm
        elif args.train_encoder_norm:
            raise ValueError(
                "train_encoder_norm trains a part of the encoder, which an adapter leaves frozen: "
                "leave out one of them."
            )
        super().__init__(model, args, train_dataset, **kwargs)
        if inner.config.frozen_teacher and not inner.has_teacher:
            inner.make_teacher()
        self.cache = None
        if args.lower_states_cache:
            self.cache = LowerStateCache(
                args.lower_states_cache,
                inner,
                self.accelerator.mixed_precision,
                args.cache_gigabytes * 1e9,
            )

    def _batch_sampler(self, dataset: TwoViewDataset, shuffle: bool) -> PairBatchSampler:
        args = self.args
        return PairBatchSampler(
            dataset.durations,
            args.batch_seconds,
            args.pairs_per_batch,
            lambda epoch: drawn_speeds(dataset, epoch),
            min(dataset.views.speeds),
            seed=args.seed if args.data_seed is None else args.data_seed,
            rank=args.process_index,
            world_size=args.world_size,
            shuffle=shuffle,
        )

    def create_scheduler(
        self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None
    ) -> torch.optim.lr_scheduler.LRScheduler:
        """Return the schedule that `lr_scheduler_type` names: linear from 0 and to 0."""
        return Trainer.create_scheduler(self, num_training_steps, optimizer)

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict,
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor | tuple[torch.Tensor, ModelOutput]:
        """Return the loss of one micro-batch; the lower layers of view 1 may come from a cache."""
        if self.cache is not None:
            with self.accelerator.autocast():
                view = inputs["input_values"], inputs["attention_mask"]
                inputs["lower_states"] = self.cache.states(*view)
        return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)

    def _new_collapse_monitor(self, model: LaserHubertModel) -> FrameCollapseMonitor:
        return FrameCollapseMonitor()

    def _check_run(self, resuming: bool) -> None:
        check_laser_run(self.model, self.args, self.train_dataset, resuming)

    def _data_key(self) -> dict[str, float]:
        """Return what decides which examples an update sees."""
        speeds = list(self.train_dataset.views.speeds)
        return super()._data_key() | {"pairs": self.args.pairs_per_batch, "speeds": speeds}
