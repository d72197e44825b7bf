"""Print what encoders and ways of training cost: size, operations, memory and time, in one table.

    python training_scripts/benchmark.py efficiency --bf16 true --output_dir runs/efficiency
    python training_scripts/benchmark.py efficiency --folders bundled runs/student \\
        --results runs/evaluation/results.csv

Rows of base size have random weights. A folder is a row too; its phone error rate and PNMI come
from the results of `evaluate.py`. A folder may come twice under two names, and `--trains` says
what trains in each: all of it, the top two layers, LoRA or READ. The training step is that of
Spin: two views, forward, backward, Adam. Every number is measured in a process of its own; peak
memory is what comes on top of the libraries.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from benchmarks.efficiency_rows import ROWS, Row, build_encoder_of, build_training
from hf_rspin.audio import SAMPLING_RATE
from hf_rspin.cost.flops import forward_flops
from hf_rspin.cost.memory import peak_gpu_memory, peak_memory
from hf_rspin.device import check_device
from hf_rspin.evaluation.table import markdown_table
from hf_rspin.models.folders import resolve_encoder
from hf_rspin.training.cli import exit_on_user_error, parse_arguments
from hf_rspin.utils import option, write_json, write_text

NOTHING = "–"
FOLDER = "folder: "  # begins the keys of folders
WAYS = ("full", "top2", "lora", "read")
LIBRARIES = peak_memory() or 0  # bytes, before there is a model
FLOP_SECONDS = 10.0
# who claims what, against which row; shares of the reference that are saved. READ: 84 % less energy
# is not judged: it needs a counter of energy, see hf_rspin.cost
CLAIMS = (
    ("DistilHuBERT: 75 % smaller", "distilhubert", "hubert", "parameters", 0.75),
    ("DistilHuBERT: 73 % less time", "distilhubert", "hubert", "forward_s", 0.73),
    ("SEW-D: 2 to 3 times as fast", "sew-d", "hubert", "forward_s", 0.5),
    ("SummaryMixing: 27 % less training time", "summary-mixing", "hubert", "training_s", 0.27),
    ("SummaryMixing: half the memory", "summary-mixing", "hubert", "training_gb", 0.5),
    ("READ: 56 % less memory", "read", "hubert", "training_gb", 0.56),
)
PER_SECOND = "s per s of audio"
COLUMNS = {
    "parameters": "parameters, M", "trained": "trained, M", "gflops": "GFLOP per s of audio",
    "forward_gb": "peak memory, forward, GB", "forward_s": f"forward, {PER_SECOND}",
    "training_gb": "peak memory, training, GB", "training_s": f"training step, {PER_SECOND}",
}  # fmt: skip
QUALITY = {"phone_error_rate": "PER clean, %", "pnmi": "best PNMI"}


@dataclass
class EfficiencyArguments:
    """What to measure."""

    rows: list[str] = option(list(ROWS), "rows of base size; none: only --folders")
    folders: list[str] = option([], "encoders to measure too: folders, Hub ids or bundled")
    results: str | None = option(None, "results.csv of evaluate.py, where --folders have names")
    names: list[str] = option([], "of the folders, as in --results; default: last part of the path")
    trains: list[str] = option([], "what trains in each folder: full, top2, lora or read")
    device: str = option("cpu", "cpu or cuda")
    bf16: bool = option(False, "bfloat16 autocast")
    utterances: int = option(4, "per step")
    seconds: float = option(10.0, "of each utterance")
    repeats: int = option(5, "timed repetitions, after one that is not; the least counts")
    output_dir: str | None = option(None, "folder for efficiency.json and efficiency.md")
    part: str | None = option(None, "of one row: forward or training; used by the script itself")

    def __post_init__(self) -> None:
        if unknown := [row for row in self.rows if row not in (*ROWS, "none")]:
            raise ValueError(f"rows are {unknown}; expected some of {', '.join(ROWS)}, or none.")
        if not (min(self.utterances, self.repeats) > 0 and 0.1 <= self.seconds <= 600):
            raise ValueError("expected utterances and repeats above 0, and 0.1 to 600 seconds.")
        if self.names and len(self.names) != len(self.folders):
            raise ValueError(f"got {len(self.names)} names for {len(self.folders)} folders.")
        if self.results is not None and not Path(self.results).is_file():
            raise ValueError(f"{self.results} is no file; expected results.csv of evaluate.py.")
        if len(set(self.names)) < len(self.names):
            raise ValueError(f"the names are {self.names}; expected each once.")
        if self.trains and len(self.trains) != len(self.folders):
            raise ValueError(f"got {len(self.trains)} trains for {len(self.folders)} folders.")
        if unknown := set(self.trains) - set(WAYS):
            raise ValueError(f"trains are {sorted(unknown)}; expected some of {', '.join(WAYS)}.")
        self.rows = [row for row in self.rows if row != "none"]


def main() -> None:
    """Measure every row in processes of its own; print and keep the table."""
    (arguments,) = parse_arguments(EfficiencyArguments)
    with exit_on_user_error():
        check_device(arguments.device)
    if arguments.part:
        folder = arguments.folders[0] if arguments.folders else None
        way = (arguments.trains or WAYS)[0]
        row = ROWS[arguments.rows[0]] if arguments.rows else Row("", ROWS["hubert"].config, way)
        measure = measure_forward if arguments.part == "forward" else measure_training
        print(json.dumps(measure(row, folder, arguments)))
        return
    names = arguments.names or [Path(folder).name for folder in arguments.folders]
    with exit_on_user_error():
        places = [resolve_encoder(folder) for folder in arguments.folders]
    wanted = [(name, ROWS[name].title, ["--rows", name]) for name in arguments.rows]
    ways = arguments.trains or ["full"] * len(places)
    for name, folder, way in zip(names, places, ways, strict=True):
        chosen = ["--rows", "none", "--folders", folder, "--trains", way]
        wanted.append((f"{FOLDER}{name}", name, chosen))  # which a row of base size may be called
    found = {}
    for name, title, chosen in tqdm(wanted, desc="rows"):
        found[name] = {"title": title}
        for part in ("forward", "training"):
            found[name] |= _in_a_process(chosen, part, arguments)
    text = describe(found, arguments)
    print(text)
    if arguments.output_dir:
        about = {"torch": torch.__version__, "threads": torch.get_num_threads(),
                 **vars(arguments)}  # fmt: skip
        write_json(Path(arguments.output_dir) / "efficiency.json", {"about": about, "rows": found})
        write_text(Path(arguments.output_dir) / "efficiency.md", text + "\n")


def measure_forward(row: Row, folder: str | None, arguments: EfficiencyArguments) -> dict:
    """Return size, operations, peak memory and time of the encoder alone."""
    encoder = build_encoder_of(row, folder).eval()
    gflops = forward_flops(encoder, FLOP_SECONDS) / FLOP_SECONDS / 1e9
    encoder = encoder.to(arguments.device)
    waveforms = _speech(arguments)

    def run() -> None:
        with torch.inference_mode(), _autocast(arguments):
            encoder(waveforms).last_hidden_state.sum().item()

    seconds = _least_time(run, arguments)
    return {
        "parameters": encoder.num_parameters(), "gflops": gflops,
        "forward_gb": _peak(arguments), "forward_s": seconds,
    }  # fmt: skip


def measure_training(row: Row, folder: str | None, arguments: EfficiencyArguments) -> dict:
    """Return number of trained parameters, peak memory and time of a step of Spin."""
    model = build_training(row, folder).to(arguments.device).train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=1e-5)
    first, second = _speech(arguments), _speech(arguments)

    def step() -> None:
        with _autocast(arguments):
            loss = model(first, perturbed_input_values=second).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        loss.item()  # waits for the device

    seconds = _least_time(step, arguments)
    return {
        "trained": sum(parameter.numel() for parameter in trained),
        "training_gb": _peak(arguments), "training_s": seconds,
    }  # fmt: skip


def describe(found: dict[str, dict], arguments: EfficiencyArguments) -> str:
    """Return the tables as Markdown."""
    quality = _quality(arguments.results)
    rows = []
    for name, one in found.items():
        known = quality.get(one["title"], {}) if name.startswith(FOLDER) else {}
        rows.append([one["title"], *(_text(key, one) for key in COLUMNS),
                     *(known.get(key, NOTHING) for key in QUALITY)])  # fmt: skip
    where = (
        f"{arguments.device}, {torch.get_num_threads()} threads, "
        f"{'bfloat16 autocast' if arguments.bf16 else 'float32'}, {arguments.utterances} x "
        f"{arguments.seconds:g} s, least of {arguments.repeats} repetitions; GFLOP of "
        f"{FLOP_SECONDS:g} s; a training step encodes two views, one second of audio counts once."
    )
    table = markdown_table(["", *COLUMNS.values(), *QUALITY.values()], rows)
    claims = verdicts(found)
    text = f"{where}\n\n{table}"
    return text + ("\n\n" + markdown_table(["claim", "here", "verdict"], claims) if claims else "")


def verdicts(found: dict[str, dict]) -> list[list[str]]:
    """Return a row per claim that the measured rows can judge."""
    lines = []
    for claim, row, reference, quantity, saved in CLAIMS:
        if row in found and reference in found:
            here = 1 - found[row][quantity] / found[reference][quantity]
            verdict = "reached" if here >= saved else "in part" if here >= saved / 2 else "not here"
            if here <= 0:
                verdict = "the contrary"
            what = COLUMNS[quantity].removesuffix(f", {PER_SECOND}").removesuffix(", GB")
            what = what.removesuffix(", M")
            lines.append([claim, f"{-100 * here:+.0f} % {what}", verdict])
    return lines


def _quality(results: str | None) -> dict[str, dict[str, str]]:
    """Return phone error rate and the best layer's PNMI on clean speech, as text, by encoder."""
    if results is None:
        return {}
    table = pd.read_csv(results)
    clean, found = table[table["condition"] == "clean"], {}
    for (encoder, metric), lines in clean.groupby(["encoder", "metric"]):
        means = lines.groupby("layer", dropna=False)["value"].mean()
        if metric == "phone_error_rate":
            found.setdefault(encoder, {})[metric] = f"{100 * means.min():.1f}"
        elif metric in QUALITY:
            found.setdefault(encoder, {})[metric] = f"{means.max():.3f}"
    return found


def _text(key: str, one: dict) -> str:
    if key in ("parameters", "trained"):
        return f"{one[key] / 1e6:.2f}"
    return f"{one[key]:.4f}" if key.endswith("_s") else f"{one[key]:.2f}"


def _in_a_process(chosen: list[str], part: str, arguments: EfficiencyArguments) -> dict:
    options = [f"--{name}={getattr(arguments, name)}" for name in
               ("device", "bf16", "utterances", "seconds", "repeats")]  # fmt: skip
    command = [sys.executable, sys.argv[0], "efficiency", *chosen, *options, "--part", part]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(chosen)} failed: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def _speech(arguments: EfficiencyArguments) -> torch.Tensor:
    samples = round(arguments.seconds * SAMPLING_RATE)
    return 0.05 * torch.randn(arguments.utterances, samples, device=arguments.device)


def _autocast(arguments: EfficiencyArguments) -> torch.autocast:
    device = torch.device(arguments.device)
    return torch.autocast(device.type, torch.bfloat16, enabled=arguments.bf16)


def _least_time(run: object, arguments: EfficiencyArguments) -> float:
    """Return the least seconds per second of audio; the first run does not count."""
    times = []
    for _ in range(arguments.repeats + 1):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return float(np.min(times[1:])) / (arguments.utterances * arguments.seconds)


def _peak(arguments: EfficiencyArguments) -> float:
    """Return peak memory in GB: of the process without the libraries, or in tensors on a GPU."""
    return (peak_gpu_memory(arguments.device) or (peak_memory() or 0) - LIBRARIES) / 1e9
