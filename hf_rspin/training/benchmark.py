"""How many seconds of audio a machine handles per second, part by part."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from transformers import PreTrainedModel

from hf_rspin.audio import SAMPLING_RATE, num_frames
from hf_rspin.seeding import example_generator
from hf_rspin.training.freezing import freeze_lower_layers
from hf_rspin.views import NoiseBank, RSpinViews


@dataclass(frozen=True)
class Speed:
    """Audio-seconds of one view per second: median and range over repetitions."""

    part: str
    median: float
    least: float
    greatest: float


def synthetic_speech(seconds: float, generator: np.random.Generator) -> np.ndarray:
    """Return a voiced, modulated signal (samples,): what costs as much as speech."""
    times = np.arange(round(seconds * SAMPLING_RATE)) / SAMPLING_RATE
    pitch = 150 * (1 + 0.1 * np.sin(2 * np.pi * 0.7 * times + generator.uniform(0, 6)))
    phase = 2 * np.pi * np.cumsum(pitch) / SAMPLING_RATE
    voice = sum(np.sin(k * phase) / k for k in range(1, 20))
    envelope = 0.5 + 0.5 * np.sin(2 * np.pi * 3 * times)
    noise = 0.02 * generator.normal(size=len(times))
    return (0.1 * envelope * voice + noise).astype(np.float32)


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


def view_speed(seconds: float, repeats: int, utterance_seconds: float = 10.0) -> Speed:
    """Measure making both views (voice, equaliser, noise) in one process."""
    number = max(1, round(seconds / utterance_seconds))
    speech = [synthetic_speech(utterance_seconds, np.random.default_rng(i)) for i in range(number)]
    views = RSpinViews(NoiseBank([np.random.default_rng(0).normal(size=80_000).astype("f4")]))

    def run() -> None:
        for index, waveform in enumerate(speech):
            views(waveform, tuple(example_generator(0, 0, index, view) for view in (0, 1)))

    return measure_speed("view making", run, number * utterance_seconds, repeats)


def model_speeds(
    model: PreTrainedModel,
    seconds: float,
    repeats: int,
    bf16: bool = False,
    utterance_seconds: float = 10.0,
) -> list[Speed]:
    """Measure the forward pass, a Spin step (top two layers) and an R-Spin step (all).

    Args:
        model: with heads, and with an auxiliary head for the R-Spin step; on its device.
        seconds: of one view per step.
        repeats: timed steps.
        bf16: bfloat16 autocast.
        utterance_seconds: length of each of the equal utterances.
    """
    device = next(model.parameters()).device
    number = max(1, round(seconds / utterance_seconds))
    samples = round(utterance_seconds * SAMPLING_RATE)
    views = [torch.randn(number, samples, device=device) * 0.05 for _ in range(2)]
    shape = (number, num_frames(samples))
    labels = torch.randint(model.config.num_pseudo_labels, shape, device=device)
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=bf16)

    def forward() -> None:
        with torch.inference_mode(), autocast:
            model(views[0])

    def step(targets: torch.Tensor) -> None:
        with autocast:
            loss = model(views[0], perturbed_input_values=views[1], labels=targets).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    total = number * utterance_seconds
    found = [measure_speed("encoder forward", forward, total, repeats)]
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-6)
    found.append(measure_speed("R-Spin step (all layers)", lambda: step(labels), total, repeats))
    freeze_lower_layers(model, 2)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=1e-6)
    model.config.auxiliary_loss_weight = 0.0
    found.append(measure_speed("Spin step (top two layers)", lambda: step(None), total, repeats))
    return found
