"""Print how long soft-DTW takes, forwards and backwards, beside the distance alone.

    python training_scripts/benchmark.py soft_dtw --shapes 250x300 500x550 --num_threads 2

Unit vectors in float32, gradients to both inputs. tslearn and pysdtw are measured if installed.
Times are wall-clock medians; CPU times tell more on a machine that is busy with other things.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

import torch
from torch import Tensor
from torch.nn.functional import normalize

from hf_rspin.evaluation.table import markdown_table
from hf_rspin.losses import soft_dtw, soft_dtw_divergence
from hf_rspin.training.cli import parse_arguments
from hf_rspin.utils import option


@dataclass
class BenchmarkArguments:
    """What to measure."""

    shapes: list[str] = option(["250x300", "500x550"], "frames of x and y")
    batch: int = option(8, "pairs")
    dim: int = option(256, "dimensions of a frame")
    gamma: float = option(0.1, "smoothing")
    repeats: int = option(9, "measurements, after one that is not counted")
    num_threads: int = option(2, "threads of PyTorch")
    device: str = option("cpu", "cpu, cuda, ...")


def squared_distance(x: Tensor, y: Tensor) -> Tensor:
    """Sum the squared distances of all pairs of frames, by a matrix product; (batch,)."""
    norms = x.square().sum(2)[:, :, None] + y.square().sum(2)[:, None]
    return torch.baddbmm(norms, x, y.mT, alpha=-2).sum((1, 2))


def implementations(gamma: float, device: str) -> dict[str, Callable[[Tensor, Tensor], Tensor]]:
    """Return functions of two batches of sequences by name."""
    found = {
        "distance alone": squared_distance,
        "soft_dtw": lambda x, y: soft_dtw(x, y, gamma),
        "soft_dtw_divergence": lambda x, y: soft_dtw_divergence(x, y, gamma),
    }
    if find_spec("tslearn") is not None:
        from tslearn.metrics import SoftDTWLossPyTorch

        found["tslearn"] = SoftDTWLossPyTorch(gamma=gamma)
    if find_spec("pysdtw") is not None:
        import pysdtw

        distance = pysdtw.distance.pairwise_l2_squared_exact
        found["pysdtw"] = pysdtw.SoftDTW(gamma, distance, use_cuda=device.startswith("cuda"))
    return found


def measure(function: Callable, x: Tensor, y: Tensor, repeats: int) -> tuple[float, float]:
    """Return the median wall-clock and CPU time of value and gradients, in milliseconds."""
    wall, processor = [], []
    for _ in range(repeats + 1):
        started = time.perf_counter(), time.process_time()
        torch.autograd.grad(function(x, y).sum(), (x, y))
        if x.is_cuda:
            torch.cuda.synchronize()
        wall.append(1e3 * (time.perf_counter() - started[0]))
        processor.append(1e3 * (time.process_time() - started[1]))
    return statistics.median(wall[1:]), statistics.median(processor[1:])


def main() -> None:
    """Measure and print."""
    (arguments,) = parse_arguments(BenchmarkArguments)
    torch.set_num_threads(arguments.num_threads)
    torch.manual_seed(0)
    rows = []
    for shape in arguments.shapes:
        x, y = (
            normalize(torch.randn(arguments.batch, int(frames), arguments.dim), dim=2)
            .to(arguments.device)
            .requires_grad_()
            for frames in shape.split("x")
        )
        for name, function in implementations(arguments.gamma, arguments.device).items():
            times = measure(function, x, y, arguments.repeats)
            rows.append([shape, name, *(f"{milliseconds:.1f}" for milliseconds in times)])
    print(markdown_table(["frames", "forward + backward", "wall ms", "CPU ms"], rows))
