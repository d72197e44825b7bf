"""What each self-supervised objective hands to `SpeechTrainer`, under a name of its own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from peft import PeftModel
from transformers import PreTrainedModel, TrainerCallback

from hf_rspin.adapters import adapted_model
from hf_rspin.data.collator import TwoViewCollator
from hf_rspin.data.dataset import TwoViewDataset
from hf_rspin.models.folders import feature_extractor_of
from hf_rspin.training.callbacks import CodebookCollapseCallback, RepresentationCollapseCallback
from hf_rspin.training.checks import check_pairs, check_two_views
from hf_rspin.training.freezing import freeze_lower_layers
from hf_rspin.training.sampling import pair_batches
from hf_rspin.training.schedule import adam_of_everything, linear_warmup_and_decay
from hf_rspin.training.state_cache import LowerStateCache
from hf_rspin.training.trainer import SpeechTrainer
from hf_rspin.training.training_arguments import LaserTrainingArguments, TwoViewTrainingArguments


class TwoViewTrainer(SpeechTrainer):
    """`SpeechTrainer` of Spin and R-Spin: two views of equal length, the paper's optimisation.

    Args:
        model: its forward takes the batches of `TwoViewCollator`.
        args: optimisation; `num_trainable_layers` is what an adapter was made with.
        train_dataset: two views by (epoch, index).
        eval_dataset: the same; its views are those of epoch 0 at every evaluation.
        processing_class: see `SpeechTrainer`.
        callbacks: further callbacks.
        **kwargs: other arguments of `SpeechTrainer`.
    """

    def __init__(
        self,
        model: PreTrainedModel | PeftModel,
        args: TwoViewTrainingArguments,
        train_dataset: TwoViewDataset | None = None,
        eval_dataset: TwoViewDataset | None = None,
        processing_class: Any = None,
        callbacks: Sequence[TrainerCallback] | None = None,
        **kwargs: Any,
    ):
        processing_class = _prepare(model, args, processing_class)
        self.collapse_callback = CodebookCollapseCallback(
            model.config.codebook_size, model.config.auxiliary_codebook_size
        )
        kwargs.setdefault("checks", (check_two_views,))
        kwargs |= _two_view_options(model, args, processing_class, kwargs)
        if args.lr_scheduler_type == "linear":
            kwargs.setdefault("schedule", partial(paper_schedule, args))
        super().__init__(
            model, args, train_dataset, eval_dataset, processing_class,
            callbacks=[self.collapse_callback, *(callbacks or [])], **kwargs,
        )  # fmt: skip


class LaserTrainer(SpeechTrainer):
    """`SpeechTrainer` of LASER and SCORE: two views of different lengths, a teacher for SCORE.

    The schedule is the stock linear one, batches are of `args.pairs_per_batch` pairs, and the
    first view may come from a cache. SCORE's teacher is the encoder as it is given here, unless
    the model has one: a resumed run must be given the encoder that the run began with.

    Args:
        model: a LASER or SCORE model.
        args: optimisation.
        train_dataset: with `LaserViews`.
        eval_dataset: the same.
        processing_class: see `SpeechTrainer`.
        callbacks: further callbacks.
        **kwargs: other arguments of `SpeechTrainer`.

    Raises:
        ValueError: the cache in `args.lower_states_cache` is of other layers, or
            `train_encoder_norm` came with an adapter.
    """

    def __init__(
        self,
        model: PreTrainedModel | PeftModel,
        args: LaserTrainingArguments,
        train_dataset: TwoViewDataset | None = None,
        eval_dataset: TwoViewDataset | None = None,
        processing_class: Any = None,
        callbacks: Sequence[TrainerCallback] | None = None,
        **kwargs: Any,
    ):
        inner = adapted_model(model)
        if inner is model:
            model.train_encoder_norm = args.train_encoder_norm
        elif args.train_encoder_norm:
            raise ValueError(
                "train_encoder_norm trains a part of the encoder, which an adapter leaves frozen: "
                "leave out one of them."
            )
        processing_class = _prepare(model, args, processing_class)
        self.collapse_callback = RepresentationCollapseCallback()
        kwargs.setdefault("checks", (check_pairs,))
        kwargs.setdefault("batch_sampler", pair_batches)
        kwargs |= _two_view_options(model, args, processing_class, kwargs)
        super().__init__(
            model, args, train_dataset, eval_dataset, processing_class,
            complete_batch=self._add_lower_states if args.lower_states_cache else None,
            callbacks=[self.collapse_callback, *(callbacks or [])], **kwargs,
        )  # fmt: skip
        if inner.config.frozen_teacher and not inner.has_teacher:
            inner.make_teacher()
        self.cache = None
        if args.lower_states_cache:
            size = args.cache_gigabytes * 1e9
            precision = self.accelerator.mixed_precision
            self.cache = LowerStateCache(args.lower_states_cache, inner, precision, size)

    def _add_lower_states(self, inputs: dict) -> None:
        with self.accelerator.autocast():
            view = inputs["input_values"], inputs["attention_mask"]
            inputs["lower_states"] = self.cache.states(*view)


def paper_schedule(
    args: TwoViewTrainingArguments, optimizer: torch.optim.Optimizer, num_steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    """Return the schedule of the paper: from the least rate to the peak and back."""
    warmup = args.get_warmup_steps(num_steps)
    return linear_warmup_and_decay(optimizer, args.min_learning_rate, warmup, num_steps)


def _prepare(model: PreTrainedModel | PeftModel, args: TwoViewTrainingArguments, given: Any) -> Any:
    """Freeze what does not train; return the feature extractor."""
    if args.frozen_dropout:
        adapted_model(model).frozen_dropout = True
    # of a peft model all but the adapter is frozen already
    if args.num_trainable_layers is not None and not isinstance(model, PeftModel):
        freeze_lower_layers(model, args.num_trainable_layers)
    return given or feature_extractor_of(adapted_model(model))


def _two_view_options(
    model: PreTrainedModel | PeftModel,
    args: TwoViewTrainingArguments,
    processing_class: Any,
    given: dict[str, Any],
) -> dict[str, Any]:
    """Return collator and optimiser, where the caller gave none."""
    options: dict[str, Any] = {}
    if "data_collator" not in given:
        options["data_collator"] = TwoViewCollator(processing_class.do_normalize)
    has_optimizer = given.get("optimizers", (None, None))[0] is not None
    if args.use_adam and not has_optimizer and "optimizer_cls_and_kwargs" not in given:
        options["optimizer_cls_and_kwargs"] = adam_of_everything(model, args)
    return options
