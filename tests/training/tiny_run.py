"""A small run as a process of its own: killed, resumed or distributed by the tests.

    python tiny_run.py audio_folder output_folder [--workers N] [--kill_after N] [--steps N] ...

Every rank writes what it logged and saw to `output_folder.rank<R>.json`.
"""

import argparse
import json
import os
import signal
from pathlib import Path

import numpy as np
import torch
from accelerate import PartialState
from transformers import TrainerCallback

from hf_rspin.data import TwoViewDataset, load_corpus
from hf_rspin.models import RSpinHubertConfig, RSpinHubertModel
from hf_rspin.training import TwoViewTrainer, TwoViewTrainingArguments
from hf_rspin.training.run import leave_process_group
from hf_rspin.views import NoiseBank, RSpinViews


class KillItself(TrainerCallback):
    """Ends the process as a power cut would, after some update."""

    def __init__(self, update: int):
        self.update = update

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == self.update:
            os.kill(os.getpid(), signal.SIGKILL)


class SignalRankOne(TrainerCallback):
    """Sends SIGTERM to the second process only, after some update."""

    def __init__(self, update: int):
        self.update = update

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == self.update and args.process_index == 1:
            os.kill(os.getpid(), signal.SIGTERM)


class NoteBatches(TrainerCallback):
    """Keeps the weights' checksum after every update."""

    def __init__(self):
        self.checksums = []

    def on_step_end(self, args, state, control, model=None, **kwargs):
        self.checksums.append(sum(float(p.detach().double().sum()) for p in model.parameters()))


def tiny_config(**changes) -> RSpinHubertConfig:
    sizes = {
        "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2,
        "intermediate_size": 32, "conv_dim": (8,) * 7, "num_conv_pos_embeddings": 8,
        "num_conv_pos_embedding_groups": 2, "codebook_size": 8, "projection_size": 8,
    }  # fmt: skip
    return RSpinHubertConfig(**{**sizes, **changes})


def tiny_model(**changes) -> RSpinHubertModel:
    torch.manual_seed(0)
    return RSpinHubertModel(tiny_config(**changes))


def noisy_views() -> RSpinViews:
    noise = np.random.default_rng(0).standard_normal(16_000).astype(np.float32)
    return RSpinViews(NoiseBank([noise]), perturb_speaker=False, equalize=False)


def tiny_dataset(folder, **options) -> TwoViewDataset:
    options = {"min_seconds": 0.3, "max_seconds": 1.0, **options}
    return TwoViewDataset(load_corpus(folder), noisy_views(), **options)


def tiny_arguments(output_dir, **options) -> TwoViewTrainingArguments:
    defaults = {
        "max_steps": 10, "batch_seconds": 4, "logging_steps": 1, "save_steps": 3, "use_cpu": True,
        "disable_tqdm": True, "seed": 3, "save_total_limit": None, "learning_rate": 1e-3,
        "collapse_grace_steps": 1000,
    }  # fmt: skip
    return TwoViewTrainingArguments(output_dir=str(output_dir), **{**defaults, **options})


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("audio")
    parser.add_argument("output")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--accumulation", type=int, default=1)
    parser.add_argument("--kill_after", type=int, default=-1)
    parser.add_argument("--signal_rank_1_after", type=int, default=-1)
    parser.add_argument("--damage", nargs="*", default=[])
    parser.add_argument("--audio_of_others")
    options = parser.parse_args()
    torch.set_num_threads(1)
    args = tiny_arguments(
        options.output,
        max_steps=options.steps,
        dataloader_num_workers=options.workers,
        gradient_accumulation_steps=options.accumulation,
    )
    audio = options.audio_of_others if args.process_index else options.audio
    note, dataset = NoteBatches(), tiny_dataset(audio or options.audio)
    PartialState(cpu=True).wait_for_everyone()  # every process has listed the corpus
    for name in options.damage:
        Path(options.audio, name).write_bytes(b"damaged")
    trainer = TwoViewTrainer(
        tiny_model(),
        args,
        train_dataset=dataset,
        callbacks=[
            KillItself(options.kill_after), SignalRankOne(options.signal_rank_1_after), note
        ],
    )
    trainer.train()
    loader = trainer.get_train_dataloader()
    loader.set_epoch(1)
    seen = {
        "history": trainer.state.log_history,
        "checksums": note.checksums,
        "indices": [index for batch in loader.batch_sampler for _, index in batch],
        "skipped": sorted(Path(name).name for name in trainer.skipped.reasons),
        "utterances": len(trainer.train_dataset),
    }
    Path(f"{options.output}.rank{args.process_index}.json").write_text(json.dumps(seen))
    leave_process_group()


if __name__ == "__main__":
    main()
