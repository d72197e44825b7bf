"""A small run of LASER or SCORE as a process of its own, which the tests kill.

    python tiny_laser.py audio_folder output_folder encoder_folder laser|score kill_after [cache]
"""

import os
import signal
import sys

import torch
from transformers import TrainerCallback

from hf_rspin.data import TwoViewDataset, load_corpus
from hf_rspin.models import SCORE_SETTINGS, LaserHubertConfig, LaserHubertModel
from hf_rspin.training import LaserTrainer, LaserTrainingArguments
from hf_rspin.views import LaserViews

SIZES = {
    "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2,
    "intermediate_size": 32, "conv_dim": (8,) * 7, "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2, "projection_size": 8,
}  # fmt: skip


class KillItself(TrainerCallback):
    """Ends the process as a power cut would, after some update."""

    def __init__(self, update: int):
        self.update = update

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == self.update:
            os.kill(os.getpid(), signal.SIGKILL)


def laser_model(method="laser", **changes) -> LaserHubertModel:
    torch.manual_seed(0)
    settings = SCORE_SETTINGS["hubert"] if method == "score" else {}
    return LaserHubertModel(LaserHubertConfig(**{**SIZES, **settings, **changes}))


def laser_dataset(folder, **options) -> TwoViewDataset:
    options = {"min_seconds": 0.3, "max_seconds": 1.6, **options}
    return TwoViewDataset(load_corpus(folder), LaserViews((0.9, 1.1)), **options)


def laser_arguments(output_dir, **options) -> LaserTrainingArguments:
    defaults = {
        "max_steps": 10, "warmup_steps": 4, "batch_seconds": 4, "logging_steps": 1,
        "save_steps": 3, "use_cpu": True, "disable_tqdm": True, "seed": 3,
        "save_total_limit": None, "learning_rate": 1e-3, "collapse_grace_steps": 1000,
        "gradient_accumulation_steps": 4, "num_trainable_layers": 1,
    }  # fmt: skip
    return LaserTrainingArguments(output_dir=str(output_dir), **{**defaults, **options})


def laser_trainer(audio, output, encoder, method, callbacks=(), **options) -> LaserTrainer:
    """Build a run that begins with the weights in the folder `encoder`."""
    settings = SCORE_SETTINGS["hubert"] if method == "score" else {}
    torch.manual_seed(0)  # a fresh projection
    model = LaserHubertModel.from_pretrained(encoder, projection_size=8, **settings)
    args = laser_arguments(output, **options)
    return LaserTrainer(model, args, laser_dataset(audio), callbacks=list(callbacks))


if __name__ == "__main__":
    torch.set_num_threads(1)
    audio, output, encoder, method, kill_after = sys.argv[1:6]
    options = {"lower_states_cache": sys.argv[6]} if len(sys.argv) > 6 else {}
    kill = KillItself(int(kill_after))
    laser_trainer(audio, output, encoder, method, [kill], **options).train()
