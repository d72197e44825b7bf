"""One update of LASER on pairs of which the ranks have unequal numbers, as a process of its own.

    python laser_ranks.py audio_folder output_folder [torchrun gives the ranks]

Every rank writes its gradients, its log and what torch draws to `output_folder.rank<R>.pt`.
"""

import sys
from pathlib import Path

import torch
from transformers import TrainerCallback

sys.path.insert(0, str(Path(__file__).parent))
from tiny_laser import laser_arguments, laser_model  # noqa: E402

from hf_rspin.data import TwoViewDataset, load_corpus  # noqa: E402
from hf_rspin.training import LaserTrainer  # noqa: E402
from hf_rspin.training.run import leave_process_group  # noqa: E402
from hf_rspin.views import LaserViews  # noqa: E402


class Shares:
    """Rank 0 of two has one pair, rank 1 the other five; a single process has all."""

    def __init__(self, dataset, args, shuffle):
        self.pairs = [range(6)] if args.world_size == 1 else [range(1), range(1, 6)]
        self.pairs = self.pairs[args.process_index]

    def __len__(self):
        return 1

    def __iter__(self):
        yield [(0, index) for index in self.pairs]

    def set_epoch(self, epoch):
        pass


class Keep(TrainerCallback):
    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
        self.gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]
        with torch.random.fork_rng():
            self.draws = torch.rand(8)


def main(audio, output):
    torch.set_num_threads(1)
    off = {"hidden_dropout": 0.0, "attention_dropout": 0.0, "feat_proj_dropout": 0.0}
    args = laser_arguments(output, max_steps=1, save_strategy="no", max_grad_norm=0,
                           gradient_accumulation_steps=1)  # fmt: skip
    views = LaserViews((1.1,), semitones=0.0)
    dataset = TwoViewDataset(load_corpus(audio), views, min_seconds=0.3)
    keep = Keep()
    trainer = LaserTrainer(
        laser_model(**off), args, dataset, callbacks=[keep], batch_sampler=Shares
    )
    trainer.train()
    found = {
        "gradients": keep.gradients, "draws": keep.draws, "log": trainer.state.log_history[0]
    }
    torch.save(found, f"{output}.rank{args.process_index}.pt")
    leave_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:3])
