"""Time attention, forward and backward: ours beside the plain form and PyTorch's own.

    python training_scripts/benchmark.py attention --seconds 10 --batch_size 4

Prints CPU milliseconds (CUDA: milliseconds) by precision and dropout, without and with the gated
position bias of WavLM; all kinds in turn, so that a busy machine slows all of them. The table in
`hf_rspin/models/attention.py` was made so, and its choices follow it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import dropout, scaled_dot_product_attention

from hf_rspin.audio import SAMPLING_RATE, num_frames
from hf_rspin.device import check_device
from hf_rspin.models.attention import attend
from hf_rspin.models.blockwise_attention import blockwise_attention
from hf_rspin.training.cli import exit_on_user_error, parse_arguments
from hf_rspin.utils import option

Attention = Callable[..., Tensor]


@dataclass
class AttentionArguments:
    """What to time."""

    hidden_size: int = option(768, "width of the encoder")
    num_heads: int = option(12, "heads")
    seconds: float = option(10.0, "length of each utterance")
    batch_size: int = option(4, "utterances")
    device: str = option("cpu", "cpu or cuda")
    repeats: int = option(5, "timed repetitions")
    threads: int = option(torch.get_num_threads(), "torch threads")

    def __post_init__(self) -> None:
        for name in ("num_heads", "batch_size", "repeats", "threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} is {getattr(self, name)}; expected at least 1.")
        if self.hidden_size % self.num_heads:
            raise ValueError(
                f"--hidden_size is {self.hidden_size}; expected a multiple of --num_heads "
                f"({self.num_heads})."
            )
        if num_frames(round(self.seconds * SAMPLING_RATE)) < 1:
            raise ValueError(f"--seconds is {self.seconds:g}; expected at least one frame, 0.025.")


def eager(query: Tensor, key: Tensor, value: Tensor, p: float, *bias: Tensor) -> Tensor:
    """Attend as the plain form is written."""
    scores = query @ key.mT * query.shape[-1] ** -0.5
    weights = (scores + bias[0] * bias[1] if bias else scores).softmax(-1)
    return dropout(weights, p, True).to(value.dtype) @ value


def fused(query: Tensor, key: Tensor, value: Tensor, p: float, *bias: Tensor) -> Tensor:
    """Attend by PyTorch's function."""
    mask = (bias[0] * bias[1]).to(query.dtype) if bias else None
    return scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=p)


def reduced(*arguments: Tensor) -> Tensor:
    """Attend by PyTorch's function, half precision kept in its fallback."""
    torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(True)
    try:
        return fused(*arguments)
    finally:
        torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(False)


def blocks(query: Tensor, key: Tensor, value: Tensor, p: float, *bias: Tensor) -> Tensor:
    """Attend by blocks, whatever is faster."""
    return blockwise_attention(query, key, value, None, p, *bias)


def ours(query: Tensor, key: Tensor, value: Tensor, p: float, *bias: Tensor) -> Tensor:
    """Attend as our encoders do."""
    return attend(query, key, value, None, p, *bias)


def milliseconds(
    kind: Attention, tensors: list[Tensor], p: float, arguments: AttentionArguments
) -> float:
    """Time one forward and backward."""
    on_gpu = arguments.device.startswith("cuda")
    clock = time.perf_counter if on_gpu else time.process_time
    start = clock()
    low = tensors[0].dtype == torch.bfloat16
    with torch.autocast(torch.device(arguments.device).type, torch.bfloat16, enabled=low):
        output = kind(*tensors[:3], p, *tensors[3:])
    output.float().square().sum().backward()
    if on_gpu:
        torch.cuda.synchronize()
    return 1000 * (clock() - start)


def inputs(dtype: torch.dtype, bias: bool, arguments: AttentionArguments) -> list[Tensor]:
    """Return query, key and value (batch, heads, frames, dim), and perhaps gate and bias."""
    torch.manual_seed(0)
    batch, heads = arguments.batch_size, arguments.num_heads
    frames = num_frames(round(arguments.seconds * SAMPLING_RATE))
    shape = (batch, frames, heads, arguments.hidden_size // heads)
    tensors = [torch.randn(shape).to(dtype).transpose(1, 2) for _ in range(3)]
    if bias:
        tensors += [torch.rand(batch, heads, frames, 1), torch.randn(1, heads, frames, frames)]
    return [tensor.to(arguments.device).requires_grad_() for tensor in tensors]


def main() -> None:
    """Time and print."""
    (arguments,) = parse_arguments(AttentionArguments)
    torch.set_num_threads(arguments.threads)
    with exit_on_user_error():
        check_device(arguments.device)
    kinds = [eager, fused, reduced, ours]
    kinds += [] if arguments.device.startswith("cuda") else [blocks]
    print(f"{arguments.batch_size} x {arguments.seconds:g} s, {arguments.num_heads} heads, "
          f"{arguments.device}, {arguments.threads} threads\n")  # fmt: skip
    print("| precision | bias | dropout | " + " | ".join(k.__name__ for k in kinds) + " |")
    print("| :-- | :-- | --: |" + " --: |" * len(kinds))
    for dtype in (torch.bfloat16, torch.float32):
        for bias in (False, True):
            for p in (0.1, 0.0):
                tensors = inputs(dtype, bias, arguments)
                times = [
                    [milliseconds(kind, tensors, p, arguments) for kind in kinds]
                    for _ in range(arguments.repeats + 1)
                ]
                cells = " | ".join(f"{one:.0f}" for one in np.median(times[1:], axis=0))
                name = str(dtype).removeprefix("torch.")
                print(f"| {name} | {'yes' if bias else 'no'} | {p:g} | {cells} |", flush=True)
