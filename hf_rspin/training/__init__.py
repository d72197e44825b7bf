"""Training: one trainer for every objective, its arguments, checks and callbacks."""

from hf_rspin.lazy import import_later

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
__getattr__ = import_later(__name__, _MODULE_OF)
