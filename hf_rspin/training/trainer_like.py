"""What checks, records and cards read of a `SpeechTrainer`, so that none of them imports it."""

from __future__ import annotations

from typing import Any, Protocol

from torch.utils.data import DataLoader, Dataset
from transformers import PreTrainedModel, TrainerState

from hf_rspin.data.skipped import SkippedFiles
from hf_rspin.publishing.model_card import ModelCardInfo
from hf_rspin.training.training_arguments import SpeechTrainingArguments


class TrainerLike(Protocol):
    """A `SpeechTrainer`, which describes these; all other names are those of `Trainer`."""

    model: PreTrainedModel
    args: SpeechTrainingArguments
    train_dataset: Dataset | None
    eval_dataset: Any
    processing_class: Any
    state: TrainerState
    run_arguments: tuple[Any, ...]
    card_info: ModelCardInfo | None
    provenance: dict[str, Any]
    skipped: SkippedFiles
    processed_hours: float
    wall_seconds: float
    evaluates_batches: bool

    def get_eval_dataloader(self, eval_dataset: Dataset | None = None) -> DataLoader:
        """Return this rank's batches of evaluation data."""
