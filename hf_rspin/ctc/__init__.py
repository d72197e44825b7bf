"""Fine-tuning for a task: speech recognition with CTC."""

from hf_rspin.lazy import import_later

_MODULE_OF = {
    "CorpusAligner": "align_corpus",
    "CtcCorpusArguments": "arguments",
    "CtcFineTune": "run",
    "CtcModelArguments": "arguments",
    "CtcTrainer": "trainer",
    "CtcTrainingArguments": "training_arguments",
    "ForcedAlignment": "forced_alignment",
    "TranscriptRules": ".data.transcripts",
    "build_fine_tune": "run",
    "build_tokenizer": "vocabulary",
    "fine_tune": "run",
    "forced_align": "forced_alignment",
    "load_ctc_model": "results",
}

__all__ = sorted(_MODULE_OF)
__getattr__ = import_later(__name__, _MODULE_OF)
