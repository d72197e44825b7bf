"""Fine-tuning for a task: speech recognition with CTC."""

from importlib import import_module

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


def __getattr__(name: str) -> object:
    """Import a public name when it is first used: the options alone need no torch."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
