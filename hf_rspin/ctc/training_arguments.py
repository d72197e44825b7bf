"""`TrainingArguments` of a CTC fine-tune."""

from __future__ import annotations

from dataclasses import dataclass

from hf_rspin.ctc.arguments import CtcOptions
from hf_rspin.training.training_arguments import SpeechTrainingArguments


@dataclass
class CtcTrainingArguments(CtcOptions, SpeechTrainingArguments):
    """`SpeechTrainingArguments` for a supervised loss.

    Defaults that differ from the parent's: `max_steps` 5000, `learning_rate` 1e-4, `warmup_steps`
    0.1, `weight_decay` 0.005, `greater_is_better` False, as every metric is an error rate or a
    loss.
    """
