"""Print what training costs with and without adapters: parameters, peak memory, time per step.

    python training_scripts/benchmark.py adapters --bf16 true

A Spin step (two views, forward, backward, Adam) of an encoder of base size with random weights:
everything trains, the top two layers, LoRA, READ. Every row is a process of its own, whose peak
memory is that of the process (CPU) or of the allocator (CUDA).
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from dataclasses import dataclass

import numpy as np
import torch
from tqdm import tqdm

from hf_rspin.adapters import AdapterArguments
from hf_rspin.audio import SAMPLING_RATE
from hf_rspin.device import check_device
from hf_rspin.models import RSpinHubertConfig, RSpinHubertModel, RSpinWavLMConfig, RSpinWavLMModel
from hf_rspin.training.cli import exit_on_user_error, parse_arguments
from hf_rspin.training.freezing import freeze_lower_layers
from hf_rspin.utils import option

ROWS = {"full": "everything", "top2": "top two layers", "lora": "LoRA", "read": "READ"}
MODELS = {
    "hubert": (RSpinHubertConfig, RSpinHubertModel),
    "wavlm": (RSpinWavLMConfig, RSpinWavLMModel),
}


@dataclass
class AdapterBenchmarkArguments:
    """What to measure."""

    encoder: str = option("hubert", "hubert or wavlm, of base size")
    device: str = option("cpu", "cpu or cuda")
    bf16: bool = option(False, "bfloat16 autocast")
    utterances: int = option(8, "per step")
    seconds: float = option(5.0, "of each utterance")
    repeats: int = option(5, "timed steps, after one that is not")
    only: str | None = option(None, "one row: full, top2, lora or read")

    def __post_init__(self) -> None:
        if self.encoder not in MODELS:
            raise ValueError(f"encoder is {self.encoder!r}; expected hubert or wavlm.")
        if self.only not in (None, *ROWS):
            raise ValueError(f"only is {self.only!r}; expected one of {', '.join(ROWS)}.")
        if min(self.utterances, self.seconds, self.repeats) <= 0:
            raise ValueError("utterances, seconds and repeats must be above 0.")


def build(arguments: AdapterBenchmarkArguments) -> torch.nn.Module:
    """Return the model of one row, ready to train."""
    config_class, model_class = MODELS[arguments.encoder]
    torch.manual_seed(0)
    model = model_class(config_class())
    if arguments.only in ("full", "top2"):
        freeze_lower_layers(model, None if arguments.only == "full" else 2)
        return model
    return AdapterArguments(arguments.only).wrap(model)


def measure(arguments: AdapterBenchmarkArguments) -> dict[str, float]:
    """Train a few steps in this process."""
    device = torch.device(check_device(arguments.device))
    model = build(arguments).to(device).train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=1e-5)
    samples = round(arguments.seconds * SAMPLING_RATE)
    views = [0.05 * torch.randn(arguments.utterances, samples, device=device) for _ in range(2)]
    times = []
    for _ in range(arguments.repeats + 1):
        start = time.perf_counter()
        with torch.autocast(device.type, torch.bfloat16, enabled=arguments.bf16):
            loss = model(views[0], perturbed_input_values=views[1]).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        loss.item()  # waits for the device
        times.append(time.perf_counter() - start)
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated()
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # KiB on Linux
    return {
        "trained": sum(parameter.numel() for parameter in trained),
        "peak": peak / 1e9,
        "median": float(np.median(times[1:])),
        "least": min(times[1:]),
        "greatest": max(times[1:]),
    }


def main() -> None:
    """Measure every row in a process of its own and print the table."""
    (arguments,) = parse_arguments(AdapterBenchmarkArguments)
    with exit_on_user_error():
        check_device(arguments.device)
    if arguments.only:
        print(json.dumps(measure(arguments)))
        return
    found = {}
    for row in tqdm(ROWS, desc="rows"):
        command = [sys.executable, sys.argv[0], "adapters", *sys.argv[1:], "--only", row]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"{row} failed: {done.stderr.strip().splitlines()[-1]}")
        found[row] = json.loads(done.stdout.splitlines()[-1])
    precision = "bfloat16 autocast" if arguments.bf16 else "float32"
    print(
        f"\n{arguments.encoder}, base size, {arguments.device}, {torch.get_num_threads()} threads, "
        f"{precision}, {arguments.utterances} x {arguments.seconds:g} s in two views, "
        f"{arguments.repeats} repetitions\n"
    )
    print("| trains | parameters | peak memory, GB | of full | s per step: median | range |")
    print("| :-- | --: | --: | --: | --: | :-- |")
    for row, name in ROWS.items():
        one = found[row]
        share = one["peak"] / found["full"]["peak"]
        print(
            f"| {name} | {one['trained']:,} | {one['peak']:.2f} | {share:.2f} | "
            f"{one['median']:.2f} | {one['least']:.2f} to {one['greatest']:.2f} |"
        )
