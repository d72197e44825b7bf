"""Fine-tuning for a task: speech recognition with CTC."""

from importlib import import_module

_MODULE_OF = {
    "CtcCorpusArguments": "arguments",
    "CtcFineTune": "run",
    "CtcModelArguments": "arguments",
    "CtcTrainer": "trainer",
    "CtcTrainingArguments": "training_arguments",
    "TranscriptRules": "transcripts",
    "build_fine_tune": "run",
    "build_tokenizer": "vocabulary",
    "fine_tune": "run",
    "load_ctc_model": "results",
}

__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> object:
    """Import a public name when it is first used: the options alone need no torch."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
