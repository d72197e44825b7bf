"""Training: arguments, trainer, freezing, schedule, callbacks."""

from hf_rspin.training.arguments import TwoViewTrainingArguments
from hf_rspin.training.callbacks import CollapseMonitor
from hf_rspin.training.freezing import freeze_lower_layers
from hf_rspin.training.trainer import TwoViewTrainer

__all__ = [
    "CollapseMonitor",
    "TwoViewTrainer",
    "TwoViewTrainingArguments",
    "freeze_lower_layers",
]
