"""Print how many seconds of audio this machine handles per second, part by part.

    python training_scripts/benchmark.py --encoder facebook/hubert-base-ls960 --device cuda --bf16

Median and range over the repetitions; one second of audio counts once, though a step encodes two
views of it. Also times the Spin loss alone, and the step of all layers with eager attention and the
losses as their equations are written, as the peer.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from transformers import PreTrainedModel

from benchmarks.naive import naive_encoder, naive_rspin_step
from hf_rspin.audio import SAMPLING_RATE, num_frames
from hf_rspin.device import check_device
from hf_rspin.losses import spin_loss
from hf_rspin.models.faster_training import speed_up_training
from hf_rspin.resources import encoder_folder
from hf_rspin.seeding import example_generator
from hf_rspin.training import freeze_lower_layers
from hf_rspin.training.cli import exit_on_user_error, parse_arguments
from hf_rspin.training.model_arguments import ModelArguments
from hf_rspin.utils import option
from hf_rspin.views import NoiseBank, RSpinViews

UTTERANCE_SECONDS = 10.0


@dataclass
class BenchmarkArguments:
    """What to time."""

    encoder: str = option(str(encoder_folder()), "folder or Hub id")
    device: str = option("cpu", "cpu or cuda")
    bf16: bool = option(False, "bfloat16 autocast")
    seconds: float = option(40.0, "seconds of one view per step")
    codebook_size: int = option(32, "codes")
    num_pseudo_labels: int = option(20_000, "outputs of the second head")
    repeats: int = option(7, "timed repetitions")
    threads: int = option(torch.get_num_threads(), "torch threads")

    def __post_init__(self) -> None:
        for name in ("seconds", "repeats", "threads", "num_pseudo_labels"):
            if getattr(self, name) <= 0:
                raise ValueError(f"--{name} is {getattr(self, name)}; expected more than 0.")


@dataclass(frozen=True)
class Speed:
    """Audio-seconds of one view per second: median and range over repetitions."""

    part: str
    median: float
    least: float
    greatest: float


def measure_speed(part: str, run: Callable[[], None], seconds: float, repeats: int) -> Speed:
    """Time `run`, which handles `seconds` of audio per call; the first two calls do not count."""
    speeds = []
    for number in range(repeats + 2):
        start = time.perf_counter()
        run()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        if number >= 2:
            speeds.append(seconds / (time.perf_counter() - start))
    return Speed(part, float(np.median(speeds)), min(speeds), max(speeds))


def synthetic_speech(seconds: float, generator: np.random.Generator) -> np.ndarray:
    """Return a voiced, modulated signal (samples,): what costs as much as speech."""
    times = np.arange(round(seconds * SAMPLING_RATE)) / SAMPLING_RATE
    pitch = 150 * (1 + 0.1 * np.sin(2 * np.pi * 0.7 * times + generator.uniform(0, 6)))
    phase = 2 * np.pi * np.cumsum(pitch) / SAMPLING_RATE
    voice = sum(np.sin(k * phase) / k for k in range(1, 20))
    envelope = 0.5 + 0.5 * np.sin(2 * np.pi * 3 * times)
    noise = 0.02 * generator.normal(size=len(times))
    return (0.1 * envelope * voice + noise).astype(np.float32)


def view_speed(seconds: float, repeats: int) -> Speed:
    """Time making both views (voice, equaliser, noise) in one process."""
    number = max(1, round(seconds / UTTERANCE_SECONDS))
    speech = [synthetic_speech(UTTERANCE_SECONDS, np.random.default_rng(i)) for i in range(number)]
    views = RSpinViews(NoiseBank([np.random.default_rng(0).normal(size=80_000).astype("f4")]))

    def run() -> None:
        for index, waveform in enumerate(speech):
            views(waveform, tuple(example_generator(0, 0, index, view) for view in (0, 1)))

    return measure_speed("view making", run, number * UTTERANCE_SECONDS, repeats)


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


def model_speeds(model: PreTrainedModel, arguments: BenchmarkArguments) -> list[Speed]:
    """Time a forward pass, an R-Spin step (all layers), the same the plain way, and a Spin step.

    The plain model is made anew; `model`, with an auxiliary head, is changed.
    """
    device = torch.device(arguments.device)
    number = max(1, round(arguments.seconds / UTTERANCE_SECONDS))
    samples = round(UTTERANCE_SECONDS * SAMPLING_RATE)
    views = [torch.randn(number, samples, device=device) * 0.05 for _ in range(2)]
    shape = (number, num_frames(samples))
    labels = torch.randint(arguments.num_pseudo_labels, shape, device=device)
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=arguments.bf16)

    def forward() -> None:
        with torch.inference_mode(), autocast:
            model(views[0])

    def step(loss: Callable[[], torch.Tensor], trained: PreTrainedModel) -> Callable[[], None]:
        parameters = [p for p in trained.train().parameters() if p.requires_grad]
        optimizer = torch.optim.Adam(parameters, lr=1e-6)

        def run() -> None:
            with autocast:
                value = loss()
            value.backward()
            optimizer.step()
            optimizer.zero_grad()

        return run

    def ours(targets: torch.Tensor | None) -> Callable[[], torch.Tensor]:
        return lambda: model(views[0], perturbed_input_values=views[1], labels=targets).loss

    def timed(part: str, run: Callable[[], None]) -> Speed:
        return measure_speed(part, run, number * UTTERANCE_SECONDS, arguments.repeats)

    found = [timed("encoder forward", forward)]
    found.append(timed("R-Spin step (all layers)", step(ours(labels), model)))
    naive = naive_encoder(build_model(arguments)).to(device)
    loss = naive_rspin_step(naive, views, labels)
    found.append(timed("naive R-Spin step (all layers)", step(loss, naive)))
    freeze_lower_layers(model, 2)
    model.config.auxiliary_loss_weight = 0.0
    return [*found, timed("Spin step (top two layers)", step(ours(None), model))]


def build_model(arguments: BenchmarkArguments) -> PreTrainedModel:
    """Return the encoder with heads."""
    model = ModelArguments(arguments.encoder, codebook_size=arguments.codebook_size)
    return model.build(arguments.num_pseudo_labels)


def main() -> None:
    """Time and print."""
    (arguments,) = parse_arguments(BenchmarkArguments)
    torch.set_num_threads(arguments.threads)
    with exit_on_user_error():
        device = check_device(arguments.device)
        model = build_model(arguments)
    model.to(device)
    speed_up_training(model.base_model)
    precision = "bfloat16 autocast" if arguments.bf16 else "float32"
    print(
        f"{arguments.encoder}, {model.base_model.num_parameters() / 1e6:.1f}M parameters, "
        f"{arguments.device} ({arguments.threads} threads), {precision}, "
        f"{arguments.seconds:g} s of one view per step, {arguments.repeats} repetitions\n"
    )
    speeds = [view_speed(arguments.seconds, arguments.repeats)]
    speeds += model_speeds(model, arguments)
    speeds.append(loss_speed(arguments.repeats, arguments.device))
    print("| part | audio-seconds per second: median | least | greatest |")
    print("| :-- | --: | --: | --: |")
    for speed in speeds:
        row = f"{speed.median:.0f} | {speed.least:.0f} | {speed.greatest:.0f}"
        print(f"| {speed.part} | {row} |")
    print(f"\nSpin loss: {256 / speeds[-1].median:.2f} s per call")
