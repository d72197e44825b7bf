"""Run as a process of a gloo group: losses, and a model under DDP, on a share of the frames.

Usage: two_ranks.py RANK WORLD_SIZE RENDEZVOUS_FILE INPUTS OUTPUT
"""

import sys

import torch
import torch.distributed as distributed
from torch.nn.functional import normalize
from torch.nn.parallel import DistributedDataParallel
from transformers import HubertConfig

from hf_rspin.losses import (
    covariance_loss,
    invariance_loss,
    laser_loss,
    spin_loss,
    variance_loss,
)
from hf_rspin.models import LaserModel, RSpinHubertConfig, RSpinHubertModel


def main(rank: int, world_size: int, rendezvous: str, inputs: str, output: str) -> None:
    torch.set_num_threads(1)
    if world_size > 1:
        distributed.init_process_group(
            "gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=world_size
        )
    data = torch.load(inputs, weights_only=True)
    results = {"losses": [losses(data, cut, rank, world_size) for cut in data["cuts"]]}
    results["statistics"] = [statistics(data, cut, rank, world_size) for cut in data["cuts"]]
    results["model"] = model_step(data, rank, world_size)
    results["laser"] = laser_step(data, rank, world_size)
    results["coins"] = coins(data)
    torch.save(results, output)
    if world_size > 1:  # gloo's threads may abort a process that just exits
        distributed.barrier()
        distributed.destroy_process_group()


def losses(data: dict, cut: int, rank: int, world_size: int) -> dict:
    """Give frames before `cut` to rank 0 and the rest to rank 1; all to a single process."""
    share = slice(None) if world_size == 1 else (slice(cut), slice(cut, None))[rank]
    clean, perturbed = (data[name][share].requires_grad_() for name in ("clean", "perturbed"))
    codebook = data["codebook"].clone().requires_grad_()
    found = spin_loss(normalize(clean, dim=1), normalize(perturbed, dim=1), codebook)
    found.loss.backward()
    if world_size > 1:  # as DistributedDataParallel averages gradients
        distributed.all_reduce(codebook.grad)
        codebook.grad /= world_size
    figures = {name: value.detach() for name, value in found._asdict().items()}
    return {
        **figures,
        "codebook": codebook.grad,
        "clean": clean.grad / world_size,
        "perturbed": perturbed.grad / world_size,
    }


def statistics(data: dict, cut: int, rank: int, world_size: int) -> dict:
    """Variance, invariance and covariance of the same shares."""
    share = slice(None) if world_size == 1 else (slice(cut), slice(cut, None))[rank]
    views = [data[name][share].clone().requires_grad_() for name in ("clean", "perturbed")]
    # wide dimensions have no hinge
    found = [variance_loss(*views, gamma=2.0), invariance_loss(*views), covariance_loss(*views)]
    sum(found).backward()
    return {"losses": [loss.detach() for loss in found],
            "gradients": [view.grad / world_size for view in views]}  # fmt: skip


def model_step(data: dict, rank: int, world_size: int) -> dict:
    """One utterance on rank 0 and two, with padding, on rank 1; all three on a single process."""
    torch.manual_seed(0)
    model = RSpinHubertModel(RSpinHubertConfig(**data["config"])).double()
    share = slice(None) if world_size == 1 else (slice(1), slice(1, None))[rank]
    batch = {name: value[share] for name, value in data["batch"].items()}
    wrapped = DistributedDataParallel(model) if world_size > 1 else model
    output = wrapped(**batch)
    output.loss.backward()
    figures = ("loss", "spin_loss", "auxiliary_loss", "accuracy", "auxiliary_accuracy")
    figures += ("code_perplexity", "probability_perplexity", "num_frames")
    figures += ("auxiliary_codebook_loss", "variance", "invariance", "covariance")
    gradients = {
        name: parameter.grad
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }
    return {"figures": {name: output[name].detach() for name in figures}, "gradients": gradients}


def laser_step(data: dict, rank: int, world_size: int) -> dict:
    """One pair on rank 0 and five on rank 1; all six on a single process."""
    share = slice(None) if world_size == 1 else (slice(1), slice(1, None))[rank]
    views = [data[name][share].clone().requires_grad_() for name in ("pairs", "others")]
    found = laser_loss(*(normalize(view, dim=-1) for view in views))
    found.loss.backward()
    return {"loss": found.loss.detach(), "gradients": [view.grad / world_size for view in views]}


def coins(data: dict) -> list[bool]:
    """Which view the teacher of SCORE encoded, twenty times; then a number of the generator."""
    model = LaserModel(HubertConfig(**data["config"]))
    model.config.frozen_teacher = True
    model.make_teacher()
    torch.manual_seed(0)
    model.train()
    return [*(model._encoders()[0] is model.teacher for _ in range(20)), torch.rand(()).item()]


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
