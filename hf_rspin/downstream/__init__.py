"""Fine-tuning for a task: speech recognition with CTC."""

from hf_rspin.downstream.arguments import (
    CtcCorpusArguments,
    CtcModelArguments,
    CtcTrainingArguments,
)
from hf_rspin.downstream.recipe import CtcFineTune, build_fine_tune, fine_tune
from hf_rspin.downstream.results import load_ctc_model
from hf_rspin.downstream.trainer import CtcTrainer
from hf_rspin.downstream.transcripts import TranscriptRules
from hf_rspin.downstream.vocabulary import build_tokenizer

__all__ = [
    "CtcCorpusArguments",
    "CtcFineTune",
    "CtcModelArguments",
    "CtcTrainer",
    "CtcTrainingArguments",
    "TranscriptRules",
    "build_fine_tune",
    "build_tokenizer",
    "fine_tune",
    "load_ctc_model",
]
