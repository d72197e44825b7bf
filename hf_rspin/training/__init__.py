"""Training: one trainer for every objective, its arguments, checks and callbacks."""

from importlib import import_module

_MODULE_OF = {
    "CodebookCollapseCallback": "callbacks",
    "RepresentationCollapseCallback": "callbacks",
    "LaserTrainer": "objectives",
    "LaserTrainingArguments": "training_arguments",
    "SpeechTrainer": "trainer",
    "SpeechTrainingArguments": "training_arguments",
    "TwoViewTrainer": "objectives",
    "TwoViewTrainingArguments": "training_arguments",
    "freeze_lower_layers": "freezing",
}

__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> object:
    """Import a public name when it is first used: the options alone need no torch."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
