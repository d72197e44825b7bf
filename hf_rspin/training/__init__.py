"""Training: arguments, trainer, freezing, schedule, callbacks."""

from hf_rspin.training.arguments import TwoViewTrainingArguments
from hf_rspin.training.callbacks import CollapseMonitor
from hf_rspin.training.frame_collapse import FrameCollapseMonitor
from hf_rspin.training.freezing import freeze_lower_layers
from hf_rspin.training.laser_arguments import LaserTrainingArguments
from hf_rspin.training.laser_trainer import LaserTrainer
from hf_rspin.training.trainer import TwoViewTrainer

__all__ = [
    "CollapseMonitor",
    "FrameCollapseMonitor",
    "LaserTrainer",
    "LaserTrainingArguments",
    "TwoViewTrainer",
    "TwoViewTrainingArguments",
    "freeze_lower_layers",
]
