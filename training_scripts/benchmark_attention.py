"""Time WavLM's attention: ours against the stock layers of transformers, forward and backward.

    python training_scripts/benchmark_attention.py --seconds 10 --batch_size 1 --device cpu

Width, heads and feed-forward size are those of WavLM base by default, with two of its twelve
layers; both versions have the same random weights and get the same hidden states, in training mode
without dropout. Prints milliseconds (median and range), the ratio, and the largest difference of
the outputs.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from transformers import WavLMConfig, WavLMModel

from hf_rspin.audio import SAMPLING_RATE, num_frames
from hf_rspin.evaluation.table import markdown_table
from hf_rspin.models import use_sdpa_attention
from hf_rspin.training.hardware import check_device
from hf_rspin.training.mistakes import mistakes_explained
from hf_rspin.training.parsing import parse_arguments


@dataclass
class AttentionArguments:
    """What to time."""

    hidden_size: int = field(default=768, metadata={"help": "width of the encoder"})
    num_heads: int = field(default=12, metadata={"help": "heads of each layer"})
    num_layers: int = field(default=2, metadata={"help": "layers"})
    seconds: float = field(default=10.0, metadata={"help": "length of each utterance"})
    batch_size: int = field(default=1, metadata={"help": "utterances"})
    device: str = field(default="cpu", metadata={"help": "cpu or cuda"})
    bf16: bool = field(default=False, metadata={"help": "bfloat16 autocast"})
    repeats: int = field(default=7, metadata={"help": "timed repetitions"})
    threads: int = field(default=torch.get_num_threads(), metadata={"help": "torch threads"})

    def __post_init__(self) -> None:
        for name in ("num_layers", "batch_size", "repeats", "threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} is {getattr(self, name)}; expected at least 1.")
        if self.hidden_size % self.num_heads or self.hidden_size % 16:
            raise ValueError(
                f"--hidden_size is {self.hidden_size}; expected a multiple of --num_heads "
                f"({self.num_heads}) and of 16 (groups of the positional convolution)."
            )
        if num_frames(round(self.seconds * SAMPLING_RATE)) < 1:
            raise ValueError(f"--seconds is {self.seconds:g}; expected at least one frame, 0.025.")


def build(arguments: AttentionArguments) -> tuple[WavLMModel, WavLMModel]:
    """Return a stock encoder and one with our attention, of equal random weights."""
    torch.manual_seed(0)
    config = WavLMConfig(
        hidden_size=arguments.hidden_size,
        num_attention_heads=arguments.num_heads,
        num_hidden_layers=arguments.num_layers,
        intermediate_size=4 * arguments.hidden_size,
        layerdrop=0.0, hidden_dropout=0.0, attention_dropout=0.0, activation_dropout=0.0,
    )  # fmt: skip
    stock = WavLMModel(config).to(arguments.device).train()
    return stock, use_sdpa_attention(copy.deepcopy(stock))


def parts(model: WavLMModel) -> dict[str, Callable[[Tensor], Tensor]]:
    """Return what is timed: (batch, frames, hidden) -> the same shape."""
    return {
        "attention of the first layer": lambda x: model.encoder.layers[0].attention(x)[0],
        "whole transformer": lambda x: model.encoder(x).last_hidden_state,
    }


def milliseconds(
    run: Callable[[Tensor], Tensor], states: Tensor, arguments: AttentionArguments
) -> tuple[float, Tensor]:
    """Time one forward and backward; also return the output."""
    device, states = torch.device(arguments.device), states.detach().requires_grad_()
    start = time.perf_counter()
    with torch.autocast(device.type, torch.bfloat16, enabled=arguments.bf16):
        output = run(states)
    output.float().square().mean().backward()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return 1000 * (time.perf_counter() - start), output.detach().float()


def compare(
    stock: Callable[[Tensor], Tensor],
    ours: Callable[[Tensor], Tensor],
    states: Tensor,
    arguments: AttentionArguments,
) -> list[str]:
    """Time the two in turn, so that a busy machine slows both; the first two calls do not count."""
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(arguments.repeats + 2):
        found = [milliseconds(run, states, arguments) for run in (stock, ours)]
        if number >= 2:
            for kept, (spent, _) in zip(times, found, strict=True):
                kept.append(spent)
    cells = [f"{np.median(t):.1f} ({min(t):.1f} to {max(t):.1f})" for t in times]
    difference = float((found[0][1] - found[1][1]).abs().max())
    return [*cells, f"{np.median(times[0]) / np.median(times[1]):.2f}", f"{difference:.1e}"]


def main() -> None:
    """Time and print."""
    (arguments,) = parse_arguments(AttentionArguments)
    torch.set_num_threads(arguments.threads)
    with mistakes_explained():
        check_device(arguments.device)
    models = build(arguments)
    frames = num_frames(round(arguments.seconds * SAMPLING_RATE))
    shape = (arguments.batch_size, frames, arguments.hidden_size)
    states, rows = torch.randn(shape, device=arguments.device), []
    stock_parts, our_parts = map(parts, models)
    for name in stock_parts:
        rows.append([name, *compare(stock_parts[name], our_parts[name], states, arguments)])
    precision = "bfloat16 autocast" if arguments.bf16 else "float32"
    print(
        f"{arguments.batch_size} x {frames} frames x {arguments.hidden_size}, "
        f"{arguments.num_heads} heads, {arguments.num_layers} layers, {arguments.device} "
        f"({arguments.threads} threads), {precision}, forward and backward, "
        f"{arguments.repeats} repetitions\n"
    )
    headers = ["part", "stock, ms: median (range)", "ours, ms", "stock / ours", "difference"]
    print(markdown_table(headers, rows))


if __name__ == "__main__":
    main()
