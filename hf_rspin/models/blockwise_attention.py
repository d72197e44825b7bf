"""Attention that trains on a CPU, a few heads at a time in the caches of each core."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

BLOCK_ENTRIES = 2**19  # of the scores, for each thread: 1 MB in bfloat16
_pools: dict[tuple[int, int], ThreadPoolExecutor] = {}  # by process and number of threads

Block = tuple[int, slice]  # an utterance, and some of its heads


def draw_signs(shape: torch.Size | tuple[int, ...], dropout: float) -> Tensor:
    """Draw integers, int16, that are negative with probability `dropout`, on the CPU.

    Four draws from 64 bits of torch's generator: ten times as fast as `torch.bernoulli`, and the
    probability is right to within 2^-17.
    """
    count = math.prod(shape)
    bits = torch.empty((count + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    draws = bits.view(torch.int16)[:count].view(shape)  # uniform on -2^15..2^15-1
    lowest_kept = round(dropout * 2**16) - 2**15
    # clamped on the side that does not matter, so that the difference stays within 16 bits
    draws = draws.clamp_(max=0) if lowest_kept <= 0 else draws.clamp_(min=0)
    return draws.sub_(lowest_kept)


def blockwise_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    dropout: float = 0.0,
    gate: Tensor | None = None,
    position_bias: Tensor | None = None,
) -> Tensor:
    """Return what `attend` does, a few heads at a time in the cache of a CPU; arguments see there.

    The plain form writes and reads the (batch, heads, frames, frames) scores from memory about ten
    times, some of them in float32, and draws a random double for each. Here a block of heads stays
    in the cache from its scores to its output, a dropped weight is told by its sign, and 64 random
    bits make four draws. Kept for the backward: one matrix of weights in the precision of the
    inputs, where the plain form keeps three. Each thread works on heads of its own, one thread per
    operation: many small operations on all cores would wait for each other, for long where other
    processes compete for the cores.
    """
    return _Blockwise.apply(query, key, value, mask, dropout, gate, position_bias)


class _Blockwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx, query, key, value, mask, dropout, gate, position_bias):
        batch, heads, frames, dim = query.shape
        with torch.autocast("cpu", enabled=False):
            query, key, value = query * dim**-0.5, key.contiguous(), value.contiguous()
            weights = query.new_empty(batch, heads, frames, key.shape[2])
            output = value.new_empty(batch, heads, frames, value.shape[3])
            signs = draw_signs(weights.shape, dropout) if dropout > 0 else None

            def attend(block: Block) -> None:
                scores = _scores(query[block], key[block], block, mask, gate, position_bias)
                softmax = scores.softmax(-1)  # (heads in the block, frames, frames)
                if signs is None:
                    weights[block] = softmax
                else:  # the sign of a dropped weight is turned
                    torch.copysign(softmax, signs[block], out=weights[block])
                    softmax = weights[block].relu()
                output[block] = torch.bmm(softmax, value[block])

            _for_blocks(attend, weights)
            output *= 1 / (1 - dropout)
        ctx.save_for_backward(query, key, value, weights, output, gate, position_bias)
        ctx.dropout = dropout
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Any, ...]:
        query, key, value, weights, output, gate, position_bias = ctx.saved_tensors
        # with a = softmax(s), dL/ds = a * (dL/da - sum(a dL/da)), and that sum is output . grad
        wide = torch.promote_types(grad.dtype, torch.float32)
        total = (grad.to(wide) * output).sum(-1, keepdim=True).to(grad.dtype)
        grad = grad.contiguous() * (1 / (1 - ctx.dropout))
        grads = [torch.empty_like(tensor) for tensor in (query, key, value)]
        grad_gate = grad_bias = None
        if ctx.needs_input_grad[5] or ctx.needs_input_grad[6]:
            grad_bias = torch.zeros_like(position_bias)
            grad_gate = None if gate is None else torch.zeros_like(gate)

        def differentiate(block: Block) -> None:
            signed = weights[block]
            kept = signed.relu() if ctx.dropout > 0 else signed
            grads[2][block] = torch.bmm(kept.mT, grad[block])
            grad_scores = torch.bmm(grad[block], value[block].mT).mul_(kept)
            grad_scores.addcmul_(signed.abs(), total[block], value=-1)
            grads[0][block] = torch.bmm(grad_scores, key[block])
            grads[1][block] = torch.bmm(grad_scores.mT, query[block])
            if grad_bias is not None:
                # in the precision of the bias at once: mixed products are slow
                _add_bias_gradients(grad_scores.to(grad_bias.dtype), block, gate, position_bias,
                                    grad_gate, grad_bias)  # fmt: skip

        _for_blocks(differentiate, weights)
        grads[0] *= query.shape[-1] ** -0.5
        return *grads, None, None, grad_gate, grad_bias


def _for_blocks(function: Callable[[Block], None], weights: Tensor) -> None:
    """Call `function` for every block of (batch, heads, frames, frames).

    All utterances of a head fall to one thread, in order: sums over utterances need no lock, and
    do not depend on the number of threads.
    """
    batch, heads, *matrix = weights.shape
    threads = min(torch.get_num_threads(), heads)
    if weights.numel() <= BLOCK_ENTRIES:
        threads = 1
    step = min(max(1, BLOCK_ENTRIES // max(1, math.prod(matrix))), -(-heads // threads))

    @torch.no_grad()
    def work(first: int) -> None:
        for utterance in range(batch):
            function((utterance, slice(first, first + step)))

    firsts = range(0, heads, step)
    if threads == 1:
        for first in firsts:
            work(first)
    else:
        list(_pool(threads).map(work, firsts))  # the list raises what a thread raised


def _pool(threads: int) -> ThreadPoolExecutor:
    """Return threads whose operations use one core each."""
    key = os.getpid(), threads
    if key not in _pools:
        pool, barrier = ThreadPoolExecutor(threads), threading.Barrier(threads)

        def prepare(_: int) -> None:
            barrier.wait()  # so that every thread gets one of these
            torch.get_num_threads()  # the first call in a thread sets the common number
            torch.set_num_threads(1)

        number = torch.get_num_threads()
        list(pool.map(prepare, range(threads)))
        torch.set_num_threads(number)  # of this thread, and of those to come
        _pools[key] = pool
    return _pools[key]


def _scores(query: Tensor, key: Tensor, block: Any, mask: Any, gate: Any, bias: Any) -> Tensor:
    """Return the scores of one block, (heads in the block, frames, frames)."""
    if bias is None:
        scores = torch.bmm(query, key.mT)
    else:
        added = _of_block(bias, block)
        added = added if gate is None else gate[block] * added
        scores = torch.baddbmm(added.to(query.dtype), query, key.mT)  # the sum is rounded once
    if mask is not None:
        utterance = block[0] if len(mask) > 1 else 0
        allowed = mask[utterance] if mask.shape[1] == 1 else mask[utterance, block[1]]
        scores.masked_fill_(~allowed, torch.finfo(scores.dtype).min)
    return scores


def _of_block(bias: Tensor, block: tuple[int, slice]) -> Tensor:
    """Return the part (heads in the block, frames, frames) of (batch or 1, heads, ...)."""
    return bias[block[0] if len(bias) > 1 else 0, block[1]]


def _add_bias_gradients(
    grad_scores: Tensor, block: Any, gate: Tensor | None, bias: Tensor, grad_gate: Any,
    grad_bias: Tensor,
) -> None:  # fmt: skip
    """Add what a block, (heads in the block, frames, frames), gives to those of gate and bias."""
    if gate is None:
        _of_block(grad_bias, block).add_(grad_scores)
        return
    _of_block(grad_bias, block).addcmul_(grad_scores, gate[block])
    grad_gate[block] = grad_scores.mul_(_of_block(bias, block)).sum(-1, keepdim=True)
