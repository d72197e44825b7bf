"""What checks, resume, provenance and model card read of a trainer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from peft import PeftModel
from torch.utils.data import Dataset
from transformers import PreTrainedModel, TrainerState

from hf_rspin.data import SkippedFiles
from hf_rspin.publishing.model_card import ModelCardInfo
from hf_rspin.training.training_arguments import SpeechTrainingArguments


class SpeechRun(Protocol):
    """A run of training; `hf_rspin.training.SpeechTrainer` is one, and says what each part is."""

    model: PreTrainedModel | PeftModel
    args: SpeechTrainingArguments
    train_dataset: Dataset | None
    eval_dataset: Any
    processing_class: Any
    state: TrainerState
    run_arguments: tuple[Any, ...]
    card_info: ModelCardInfo | None
    provenance: Mapping[str, Any]
    skipped: SkippedFiles
    evaluates_batches: bool
    optimizer_cls_and_kwargs: tuple[type, dict[str, Any]] | None
    hub_model_id: str | None
    accelerator: Any
    processed_hours: float
    wall_seconds: float
