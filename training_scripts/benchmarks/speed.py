"""Print how many seconds of audio this machine handles per second, part by part.

    python training_scripts/benchmark.py --encoder facebook/hubert-base-ls960 --device cuda --bf16

Median and range over the repetitions; one second of audio counts once, though a step encodes two
views of it. Also times the Spin loss alone, and the step of all layers with eager attention and the
losses as their equations are written, as the peer.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from benchmarks.naive import naive_encoder, naive_rspin_step
from hf_rspin.device import check_device
from hf_rspin.losses import spin_loss
from hf_rspin.models.faster_training import speed_up_training
from hf_rspin.resources import encoder_folder
from hf_rspin.training.arguments import ModelArguments
from hf_rspin.training.benchmark import Speed, measure_speed, model_speeds, view_speed
from hf_rspin.training.cli import exit_on_user_error, parse_arguments


@dataclass
class BenchmarkArguments:
    """What to time."""

    encoder: str = field(default=str(encoder_folder()), metadata={"help": "folder or Hub id"})
    device: str = field(default="cpu", metadata={"help": "cpu or cuda"})
    bf16: bool = field(default=False, metadata={"help": "bfloat16 autocast"})
    seconds: float = field(default=40.0, metadata={"help": "seconds of one view per step"})
    codebook_size: int = field(default=32, metadata={"help": "codes"})
    num_pseudo_labels: int = field(default=20_000, metadata={"help": "outputs of the second head"})
    repeats: int = field(default=7, metadata={"help": "timed repetitions"})
    threads: int = field(default=torch.get_num_threads(), metadata={"help": "torch threads"})

    def __post_init__(self) -> None:
        for name in ("seconds", "repeats", "threads", "num_pseudo_labels"):
            if getattr(self, name) <= 0:
                raise ValueError(f"--{name} is {getattr(self, name)}; expected more than 0.")


def loss_speed(repeats: int, device: str) -> Speed:
    """Time forward and backward of the Spin loss: 12800 frames (256 s), 2048 codes, 256 dims."""
    normalize = torch.nn.functional.normalize
    clean, perturbed, codebook = (
        normalize(torch.randn(rows, 256, device=device), dim=-1).requires_grad_()
        for rows in (12_800, 12_800, 2_048)
    )
    return measure_speed(
        "Spin loss, 12800 x 2048 x 256",
        lambda: spin_loss(clean, perturbed, codebook).loss.backward(),
        256.0,
        repeats,
    )


def naive_speed(arguments: BenchmarkArguments) -> Speed:
    """Time an R-Spin step of all layers the plain way."""
    model = naive_encoder(
        ModelArguments(arguments.encoder, codebook_size=arguments.codebook_size).build(
            arguments.num_pseudo_labels
        )
    ).to(arguments.device).train()  # fmt: skip
    number = max(1, round(arguments.seconds / 10))
    views = [torch.randn(number, 160_000, device=arguments.device) * 0.05 for _ in range(2)]
    labels = torch.randint(arguments.num_pseudo_labels, (number, 499), device=arguments.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-6)
    loss = naive_rspin_step(model, views, labels)

    def run() -> None:
        device = torch.device(arguments.device).type
        with torch.autocast(device, torch.bfloat16, enabled=arguments.bf16):
            value = loss()
        value.backward()
        optimizer.step()
        optimizer.zero_grad()

    return measure_speed("naive R-Spin step (all layers)", run, number * 10.0, arguments.repeats)


def main() -> None:
    """Time and print."""
    (arguments,) = parse_arguments(BenchmarkArguments)
    torch.set_num_threads(arguments.threads)
    with exit_on_user_error():
        device = check_device(arguments.device)
        model = ModelArguments(arguments.encoder, codebook_size=arguments.codebook_size).build(
            arguments.num_pseudo_labels
        )
    model.to(device)
    speed_up_training(model.base_model)
    precision = "bfloat16 autocast" if arguments.bf16 else "float32"
    print(
        f"{arguments.encoder}, {model.base_model.num_parameters() / 1e6:.1f}M parameters, "
        f"{arguments.device} ({arguments.threads} threads), {precision}, "
        f"{arguments.seconds:g} s of one view per step, {arguments.repeats} repetitions\n"
    )
    speeds = [view_speed(arguments.seconds, arguments.repeats)]
    speeds += model_speeds(model, arguments.seconds, arguments.repeats, arguments.bf16)
    speeds.append(naive_speed(arguments))
    speeds.append(loss_speed(arguments.repeats, arguments.device))
    print("| part | audio-seconds per second: median | least | greatest |")
    print("| :-- | --: | --: | --: |")
    for speed in speeds:
        row = f"{speed.median:.0f} | {speed.least:.0f} | {speed.greatest:.0f}"
        print(f"| {speed.part} | {row} |")
    print(f"\nSpin loss: {256 / speeds[-1].median:.2f} s per call")
