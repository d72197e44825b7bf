"""Sums and maxima over all ranks of a distributed run; the identity in a single process.

DistributedDataParallel averages the gradients of the ranks. A loss that is already a mean over
the frames of *all* ranks must therefore hand each rank `world size` times its own share of the
gradient: `all_reduce_with_grad` does, so that two processes train exactly as one with both halves.
"""

from __future__ import annotations

import torch
import torch.distributed as distributed
from torch import Tensor


def world_size() -> int:
    """Return the number of ranks, 1 outside of a distributed run."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_world_size()
    return 1


def rank() -> int:
    """Return the number of this process, 0 outside of a distributed run."""
    return distributed.get_rank() if world_size() > 1 else 0


def reduce_sum_(tensor: Tensor) -> Tensor:
    """Replace `tensor` by its sum over ranks, in place and outside of autograd."""
    if world_size() > 1:
        distributed.all_reduce(tensor, op=distributed.ReduceOp.SUM)
    return tensor


def reduce_max_(tensor: Tensor) -> Tensor:
    """Replace `tensor` by its elementwise maximum over ranks, in place, outside of autograd."""
    if world_size() > 1:
        distributed.all_reduce(tensor, op=distributed.ReduceOp.MAX)
    return tensor


class _AllReduceWithGrad(torch.autograd.Function):
    @staticmethod
    def forward(ctx, tensor: Tensor) -> Tensor:
        return reduce_sum_(tensor.detach().clone())

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        return gradient * world_size()


def all_reduce_with_grad(tensor: Tensor) -> Tensor:
    """Return the sum of `tensor` over ranks, differentiable.

    The gradient is multiplied by the number of ranks, because every rank holds the same total
    and the ranks' gradients are averaged afterwards.
    """
    return _AllReduceWithGrad.apply(tensor) if world_size() > 1 else tensor


def mean_over_ranks(values: Tensor) -> Tensor:
    """Return the mean of `values` (items,) of all ranks, which may hold unequal numbers of them.

    Differentiable; the gradient is scaled as that of `all_reduce_with_grad`.
    """
    count = reduce_sum_(torch.tensor(float(len(values)), device=values.device))
    return all_reduce_with_grad(values.sum()) / count
