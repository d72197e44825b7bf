"""`TrainingArguments` of every objective that is trained here."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from transformers import TrainingArguments

from hf_rspin.training.optimization import (
    DistillationOptions,
    LaserOptions,
    MaskedPredictionOptions,
    SpeechOptions,
    TwoViewOptions,
)


@dataclass
class SpeechTrainingArguments(SpeechOptions, TrainingArguments):
    """`TrainingArguments` with batches by duration.

    Defaults that differ from the parent's: `max_steps` 10000, `logging_steps` 50,
    `save_total_limit` 2, `logging_nan_inf_filter` and `remove_unused_columns` False.
    `per_device_train_batch_size` is not used: a batch is `batch_seconds` long. Set `max_steps=-1`
    to count `num_train_epochs` instead. Without an accelerator `use_cpu` is True, which the parent
    wants to be told before it allows bfloat16.
    """

    def __post_init__(self):
        """Fall back to the CPU where there is nothing else."""
        if not torch.accelerator.is_available():
            self.use_cpu = True
        super().__post_init__()


@dataclass
class TwoViewTrainingArguments(TwoViewOptions, SpeechTrainingArguments):
    """`SpeechTrainingArguments` with the paper's optimisation.

    Defaults that differ from the parent's: `learning_rate` 1e-4, `warmup_steps` 0.4 (a ratio: 4000
    of 10000), `weight_decay` 1e-6, `max_grad_norm` 10, `batch_seconds` 256.
    """


@dataclass
class LaserTrainingArguments(LaserOptions, TwoViewTrainingArguments):
    """`TwoViewTrainingArguments` with the optimisation and the batches of LASER and SCORE.

    Defaults that differ from the parent's: `max_steps` 3600, `learning_rate` 2e-5, `warmup_steps`
    1000, `min_learning_rate` 0, `weight_decay` 0, `adam_epsilon` 1e-7, `max_grad_norm` 1,
    `gradient_accumulation_steps` 8, `use_adam` False (AdamW), `num_trainable_layers` 2,
    `collapse_grace_steps` 20. The learning rate follows the stock linear schedule: 0 to the peak,
    and to 0 after the last update.
    """


@dataclass
class MaskedPredictionTrainingArguments(MaskedPredictionOptions, SpeechTrainingArguments):
    """`SpeechTrainingArguments` with the stock optimisation, and `batch_seconds` 72."""


@dataclass
class DistillationTrainingArguments(DistillationOptions, SpeechTrainingArguments):
    """`SpeechTrainingArguments` with the optimisation of DistilHuBERT.

    Defaults that differ from the parent's: `max_steps` 200,000, `learning_rate` 2e-4,
    `warmup_steps` 0.07, `adam_beta2` 0.98, `adam_epsilon` 1e-6, `weight_decay` 1e-6,
    `max_grad_norm` 5, `batch_seconds` 72.
    """
