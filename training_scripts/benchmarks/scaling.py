"""Print how time and memory of an encoder grow with the length of the audio.

    python training_scripts/benchmark.py scaling --output runs/scaling
    python training_scripts/benchmark.py scaling --size small --seconds 5 20 --repeats 1

HuBERT with SDPA and with the attention of this package, beside SummaryMixing, full and lite, of
base or small size with random weights; a forward pass alone, and a training step (forward,
backward, Adam) of all weights. Every number is measured in a process of its own; peak memory is
what comes on top of the libraries. With --output, what is measured is kept: killed and repeated,
the same command goes on.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm import tqdm
from transformers import HubertConfig, HubertModel, PreTrainedModel

from hf_rspin.audio import SAMPLING_RATE, num_frames
from hf_rspin.cost.memory import peak_gpu_memory, peak_memory
from hf_rspin.device import check_device
from hf_rspin.evaluation.table import markdown_table
from hf_rspin.models.attention import choose_attention
from hf_rspin.models.backbones import SummaryMixingHubertConfig, SummaryMixingHubertModel
from hf_rspin.training.cli import exit_on_user_error, parse_arguments
from hf_rspin.utils import option, write_json, write_text

LIBRARIES = peak_memory() or 0  # bytes, before there is a model
ENCODERS = {
    "sdpa": "attention, SDPA", "ours": "attention, ours",
    "full": "SummaryMixing", "lite": "SummaryMixing-lite",
}  # fmt: skip
WORK = {"forward": "forward", "training": "training step"}
SIZES = {
    "base": {},
    "small": {"hidden_size": 256, "num_hidden_layers": 6, "num_attention_heads": 4,
              "intermediate_size": 1024, "conv_dim": (128,) * 7},
    "tiny": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
             "intermediate_size": 32, "conv_dim": (8,) * 7, "num_conv_pos_embeddings": 8,
             "num_conv_pos_embedding_groups": 2},
}  # fmt: skip


DECISIVE = ("size", "utterances", "device", "bf16", "repeats")  # with them, numbers are the same


@dataclass
class ScalingArguments:
    """What to measure."""

    encoders: list[str] = option(list(ENCODERS), "sdpa, ours, full and lite, or some of them")
    seconds: list[float] = option([5.0, 10.0, 20.0, 30.0, 60.0, 90.0, 120.0], "lengths of audio")
    size: str = option("base", "of the encoders: base, small or tiny")
    utterances: int = option(1, "per step, all of one length")
    device: str = option("cpu", "cpu or cuda")
    bf16: bool = option(False, "bfloat16 autocast")
    repeats: int = option(3, "timed repetitions, after one that is not; the least counts")
    output: str | None = option(None, "folder for scaling.json and scaling.md")
    work: str | None = option(None, "forward or training; default: both, each by a process")

    def __post_init__(self) -> None:
        for name, allowed, given in (
            ("encoders", ENCODERS, self.encoders),
            ("size", SIZES, [self.size]),
            ("work", WORK, [self.work] if self.work else []),
        ):
            if unknown := [one for one in given if one not in allowed]:
                raise ValueError(f"{name}: got {unknown[0]!r}; expected {', '.join(allowed)}.")
        if not self.encoders or not self.seconds:
            raise ValueError("got no encoders or no seconds; expected at least one of each.")
        if min(self.utterances, self.repeats) < 1:
            raise ValueError("utterances and repeats must be 1 or more.")
        if num_frames(round(min(self.seconds) * SAMPLING_RATE)) < 1:
            raise ValueError(f"seconds are {self.seconds}; expected 0.025 or more, one frame.")


def main() -> None:
    """Measure every encoder, length and kind of work; print and keep the table."""
    (arguments,) = parse_arguments(ScalingArguments)
    with exit_on_user_error():
        check_device(arguments.device)
    if arguments.work:  # one cell, for the process that asked for it
        print(json.dumps(measure(arguments)))
        return
    cells = [
        {"encoder": encoder, "work": work, "seconds": seconds}
        for seconds in arguments.seconds for work in WORK for encoder in arguments.encoders
    ]  # fmt: skip
    about = {"torch": torch.__version__, "threads": torch.get_num_threads()}
    about |= {name: getattr(arguments, name) for name in DECISIVE}
    file = Path(arguments.output) / "scaling.json" if arguments.output else None
    with exit_on_user_error():
        kept = measured_before(file, about)
    for cell in tqdm(cells, desc="cells"):
        cell |= kept.pop(place(cell), None) or in_a_process(cell, arguments)
        if file:  # the next may take minutes, or all of the memory
            done = [one for one in cells if len(one) > len(place(one))]
            write_json(file, {"about": about, "cells": [*done, *kept.values()]})
    text = describe(cells, arguments)
    print(text)
    if file:
        write_text(file.with_name("scaling.md"), text + "\n")


def place(cell: dict) -> tuple[str, str, float]:
    """Return what tells a cell from others."""
    return cell["encoder"], cell["work"], cell["seconds"]


def measured_before(file: Path | None, about: dict) -> dict[tuple, dict]:
    """Return the cells of a run that was stopped; none that failed.

    Raises:
        ValueError: they were measured otherwise, or the file is damaged: it would be lost.
    """
    if file is None or not file.is_file():
        return {}
    try:
        found = json.loads(file.read_text())
        before = {name: found["about"][name] for name in about}
        cells = {place(cell): cell for cell in found["cells"] if "failed" not in cell}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{file} is damaged ({error}): remove it, or name another --output."
        ) from error
    if before != about:
        changed = [name for name in about if before[name] != about[name]]
        other = ", ".join(f"{name} {before[name]} (now {about[name]})" for name in changed)
        raise ValueError(f"{file} holds what was measured with {other}: name another --output.")
    return cells


def build(encoder: str, size: str) -> PreTrainedModel:
    """Return an encoder with random weights; nothing is masked and no layer is dropped."""
    torch.manual_seed(0)
    options = {**SIZES[size], "layerdrop": 0.0, "apply_spec_augment": False}
    if encoder in ("sdpa", "ours"):
        model = HubertModel(HubertConfig(**options, attn_implementation="sdpa"))
        return choose_attention(model) if encoder == "ours" else model
    return SummaryMixingHubertModel(SummaryMixingHubertConfig(**options, mixing=encoder))


def measure(arguments: ScalingArguments) -> dict[str, float]:
    """Return the least wall time in seconds and the peak memory in bytes of one cell."""
    device = torch.device(arguments.device)
    model = build(arguments.encoders[0], arguments.size).to(device)
    model.requires_grad_(arguments.work == "training")
    samples = round(arguments.seconds[0] * SAMPLING_RATE)
    waveforms = 0.05 * torch.randn(arguments.utterances, samples, device=device)
    run = (training_step if arguments.work == "training" else forward)(model, waveforms)
    times = []
    for _ in range(arguments.repeats + 1):
        start = time.perf_counter()
        with torch.autocast(device.type, torch.bfloat16, enabled=arguments.bf16):
            run()
        times.append(time.perf_counter() - start)
    peak = peak_gpu_memory(device) or (peak_memory() or 0) - LIBRARIES
    return {"time_s": min(times[1:]), "peak_bytes": peak}


def forward(model: PreTrainedModel, waveforms: torch.Tensor) -> Callable[[], None]:
    """Return a forward pass in eval mode, which waits for the device."""
    model.eval()

    def run() -> None:
        with torch.inference_mode():
            model(waveforms).last_hidden_state.sum().item()

    return run


def training_step(model: PreTrainedModel, waveforms: torch.Tensor) -> Callable[[], None]:
    """Return a forward and backward pass and an update of all weights, of a plain loss."""
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-5)

    def run() -> None:
        loss = model(waveforms).last_hidden_state.float().square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        loss.item()

    return run


def in_a_process(cell: dict, arguments: ScalingArguments) -> dict[str, float]:
    """Measure one cell in a process of its own; a cell that fails, of memory say, says so."""
    options = [f"--{name}={getattr(arguments, name)}"
               for name in DECISIVE]  # fmt: skip
    command = [
        sys.executable, sys.argv[0], "scaling", "--encoders", cell["encoder"],
        "--seconds", str(cell["seconds"]), "--work", cell["work"], *options,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 0:
        return json.loads(done.stdout.splitlines()[-1])
    lines = done.stderr.strip().splitlines()
    return {"failed": lines[-1] if lines else f"ended by signal {-done.returncode}"}


def describe(cells: list[dict], arguments: ScalingArguments) -> str:
    """Return the tables as Markdown: time, and memory, of a forward pass and of a training step."""
    precision = "bfloat16 autocast" if arguments.bf16 else "float32"
    parts = [
        f"{arguments.size} size, {arguments.utterances} utterance(s), {arguments.device}, "
        f"{torch.get_num_threads()} threads, {precision}, least of {arguments.repeats} "
        "repetitions, memory on top of the libraries"
    ]
    for work, title in WORK.items():
        for key, unit, scale in (("time_s", "s", 1), ("peak_bytes", "GB", 1e9)):
            found = {
                (cell["seconds"], cell["encoder"]): f"{cell[key] / scale:.3f}"
                for cell in cells if cell["work"] == work and key in cell
            }  # fmt: skip
            rows = [
                [f"{seconds:g}", *(found.get((seconds, one), "–") for one in arguments.encoders)]
                for seconds in arguments.seconds
            ]
            what = "time" if key == "time_s" else "peak memory"
            heads = ["seconds of audio", *(ENCODERS[one] for one in arguments.encoders)]
            parts.append(f"{title}, {what} in {unit}\n\n{markdown_table(heads, rows)}")
    failed = [f"{c['encoder']}, {c['work']}, {c['seconds']:g} s: {c['failed']}"
              for c in cells if "failed" in c]  # fmt: skip
    return "\n\n".join(parts + (["Failed:\n" + "\n".join(failed)] if failed else []))
