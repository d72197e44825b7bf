"""Check on a GPU what the other tests check on a CPU, and time it: at most eight minutes, offline.

    make gpu-check        or        PYTHONPATH=. python training_scripts/gpu_check.py

Needs torch, transformers and accelerate (and triton); neither audio nor a download. Prints one line
per check, a table of speeds, and writes both as JSON. Without a GPU it says so and ends well.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.naive import naive_encoder, naive_rspin_step, naive_soft_dtw, naive_spin_loss
from torch import Tensor
from torch.nn.functional import normalize
from transformers import (
    HubertConfig,
    Trainer,
    TrainingArguments,
    WavLMConfig,
    WavLMModel,
)

from hf_rspin.device import use_large_allocations
from hf_rspin.losses import soft_dtw, spin_loss
from hf_rspin.losses.soft_dtw.backend_torch import align
from hf_rspin.models import LaserModel, RSpinModel
from hf_rspin.models.faster_training import speed_up_training

CONFIGS = {"hubert": HubertConfig, "wavlm": WavLMConfig}
TINY = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24,
    "conv_dim": (8,) * 7, "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2,
}  # fmt: skip
SMALL = {**TINY, "hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 3}


@dataclass(frozen=True)
class Sizes:
    """How much is computed where speeds are measured."""

    encoder: dict[str, Any]
    utterances: int = 16
    seconds: float = 10.0
    labels: int = 20_000
    codes: int = 2_048
    spin_frames: int = 16_000
    dtw: tuple[int, int, int] = (8, 500, 550)
    repeats: int = 5


BASE = Sizes({"layerdrop": 0.0})
LEAST = Sizes({**TINY, "layerdrop": 0.0}, 2, 0.5, 20, 16, 100, (2, 12, 15), 1)


class Setting:
    """The device, the sizes, and when to stop."""

    def __init__(self, device: str, sizes: Sizes, budget: float) -> None:
        self.device, self.sizes = torch.device(device), sizes
        self.ends = time.monotonic() + budget

    @property
    def is_gpu(self) -> bool:
        """Whether this is the real thing."""
        return self.device.type == "cuda"

    def views(self, utterances: int = 2, seconds: float = 0.5) -> list[Tensor]:
        """Return two waveforms (utterances, samples) on the device."""
        generator = torch.Generator().manual_seed(0)
        shape = (utterances, round(seconds * 16_000))
        clean = 0.1 * torch.randn(shape, generator=generator)
        noise = 0.03 * torch.randn(shape, generator=generator)
        return [clean.to(self.device), (clean + noise).to(self.device)]

    def seconds(self, run: Callable[[], Any], repeats: int | None = None) -> float:
        """Return the median time of a call, after two that do not count."""
        times = []
        repeats = repeats or self.sizes.repeats
        for _ in range(repeats + min(2, repeats)):
            self.wait()
            start = time.perf_counter()
            run()
            self.wait()
            times.append(time.perf_counter() - start)
        return sorted(times[-repeats:])[repeats // 2]

    def wait(self) -> None:
        """Wait for the device."""
        if self.is_gpu:
            torch.cuda.synchronize()


def build(kind: str, family: str = "hubert", sizes: dict | None = None, **heads: Any) -> Any:
    """Return a new model: spin or laser, on an encoder of small size where none is given."""
    torch.manual_seed(0)
    plain = CONFIGS[family](**(SMALL if sizes is None else sizes))
    model_class = RSpinModel if kind == "spin" else LaserModel
    return model_class(model_class.with_fields(plain, **heads))


# Checks: each returns what it found, or raises


def check_soft_dtw(setting: Setting) -> str:
    """Values and gradients of the kernel for the device against plain PyTorch in float64."""
    worst = 0.0
    for batch, rows, columns, dim in ((3, 7, 11, 5), (2, 130, 257, 32), (1, 1, 1, 4)):
        generator = torch.Generator().manual_seed(rows)
        x, y = (torch.randn(batch, n, dim, generator=generator) for n in (rows, columns))
        exact = [one.double().requires_grad_() for one in (x, y)]
        norms = [one.detach().square().sum(2) for one in exact]
        products = (exact[0] @ exact[1].mT).detach().contiguous()
        lengths = [(rows, columns)] * batch
        wanted = align(products, *norms, 0.1, lengths, False)
        ours = [one.to(setting.device).requires_grad_() for one in (x, y)]
        found = soft_dtw(*ours, 0.1)
        grads = torch.autograd.grad(found.sum(), ours)
        reference = torch.autograd.grad(soft_dtw(*exact, 0.1).sum(), exact)
        torch.testing.assert_close(found.cpu().double(), wanted, rtol=1e-4, atol=1e-3)
        for one, right in zip(grads, reference, strict=True):
            worst = max(worst, float((one.cpu() - right).norm() / right.norm()))
    if worst > 1e-3:
        raise AssertionError(f"gradients differ by {worst:.1e} of their norm")
    return f"gradients within {worst:.1e} of float64"


def check_spin_loss(setting: Setting) -> str:
    """Value and gradients on the device against the plain equations in float64 on a CPU."""
    generator = torch.Generator().manual_seed(0)
    inputs = [normalize(torch.randn(n, 32, generator=generator), dim=-1) for n in (300, 300, 24)]
    exact = [one.double().requires_grad_() for one in inputs]
    wanted = naive_spin_loss(*exact)
    ours = [one.to(setting.device).requires_grad_() for one in inputs]
    found = spin_loss(*ours).loss
    torch.testing.assert_close(found.cpu().double(), wanted, rtol=1e-4, atol=1e-5)
    pairs = zip(torch.autograd.grad(found, ours), torch.autograd.grad(wanted, exact), strict=True)
    worst = max(float((one.cpu() - right).norm() / right.norm()) for one, right in pairs)
    if worst > 1e-3:
        raise AssertionError(f"gradients differ by {worst:.1e} of their norm")
    return f"loss {found.item():.4f}, gradients within {worst:.1e} of float64"


def check_precision(dtype: torch.dtype, setting: Setting) -> str:
    """Steps of R-Spin and LASER under autocast are near those in float32 and lower the loss."""
    found = []
    for kind, heads in (("spin", {"num_pseudo_labels": 10, "codebook_size": 16}), ("laser", {})):
        model = build(kind, **heads).to(setting.device).eval()
        views, labels = setting.views(), {}
        if kind == "spin":
            labels["labels"] = torch.zeros(2, 24, dtype=torch.long, device=setting.device)
        losses = []
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        scaler = torch.amp.GradScaler(
            setting.device.type, init_scale=256.0, enabled=dtype == torch.float16
        )
        for low in (False, True, True, True):
            with torch.autocast(setting.device.type, dtype, enabled=low):
                loss = model(views[0], perturbed_input_values=views[1], **labels).loss
            losses.append(loss.item())
            if low:
                optimizer.zero_grad()
                scaler.scale(loss).backward()
                scaler.step(optimizer)
                scaler.update()
        exact, first, *_, last = losses
        if not abs(first - exact) < 0.05 * abs(exact) + 0.05 or not last < first:
            raise AssertionError(f"{kind}: float32 {exact:.4f}, then {losses[1:]}")
        found.append(f"{kind} {exact:.3f} and {first:.3f}, then {last:.3f}")
    return "; ".join(found)


def check_wavlm(setting: Setting) -> str:
    """Hidden states and gradients of our WavLM attention against the stock layers."""
    torch.manual_seed(0)
    options = {**SMALL, "layerdrop": 0.0, "hidden_dropout": 0.0, "attention_dropout": 0.0}
    stock = WavLMModel(WavLMConfig(**options, feat_proj_dropout=0.0, apply_spec_augment=False))
    with torch.no_grad():  # far from uniform attention
        for name, parameter in stock.named_parameters():
            if "attention" in name:
                parameter.add_(0.3 * torch.randn_like(parameter))
    ours = speed_up_training(copy.deepcopy(stock)).to(setting.device)
    stock, values, found = stock.to(setting.device), setting.views()[0], []
    mask = torch.ones_like(values, dtype=torch.long)
    mask[1, 5000:] = 0
    for model in (stock, ours):
        model.train()
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        states = model(values, attention_mask=mask).last_hidden_state[0]
        states.square().sum().backward()
        found.append((states, model.encoder.layers[0].attention.q_proj.weight.grad))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)
    return f"hidden states within {(found[0][0] - found[1][0]).abs().max().item():.1e}"


def check_compile(setting: Setting) -> str:
    """A compiled model gives the loss of one that is not."""
    model = build("spin", codebook_size=16).to(setting.device).eval()
    views = setting.views()
    wanted = model(views[0], perturbed_input_values=views[1]).loss
    backend = "inductor" if setting.is_gpu else "eager"  # compiling for a CPU takes a minute
    compiled = torch.compile(model, backend=backend)
    found = compiled(views[0], perturbed_input_values=views[1]).loss
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3)
    found.backward()
    return f"loss {found.item():.4f} by {backend}"


class Pairs(torch.utils.data.Dataset):
    """Two views each of eight short utterances."""

    def __len__(self) -> int:
        """Return the number of utterances."""
        return 8

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Return the views (samples,) of one."""
        generator = torch.Generator().manual_seed(index)
        clean, noise = 0.1 * torch.randn(2, 4000, generator=generator)
        return {"input_values": clean, "perturbed_input_values": clean + 0.3 * noise}


def check_resume(setting: Setting) -> str:
    """Six updates, and four that go on from a checkpoint for two more: the same weights."""
    weights = []
    with tempfile.TemporaryDirectory() as folder:
        for steps, resume in ((6, None), (6, Path(folder) / "checkpoint-4")):
            arguments = TrainingArguments(
                folder, max_steps=steps, per_device_train_batch_size=2, learning_rate=1e-3,
                save_steps=4, save_strategy="steps" if resume is None else "no", report_to="none",
                disable_tqdm=True, logging_strategy="no", use_cpu=not setting.is_gpu, seed=0,
                lr_scheduler_type="constant", bf16=setting.is_gpu, remove_unused_columns=False,
            )  # fmt: skip
            model = build("spin", codebook_size=16)  # with dropout
            trainer = Trainer(model, arguments, train_dataset=Pairs())
            trainer.train(resume_from_checkpoint=None if resume is None else str(resume))
            weights.append({name: p.detach().cpu() for name, p in model.named_parameters()})
    worst = max(float((weights[0][name] - weights[1][name]).abs().max()) for name in weights[0])
    if worst > (1e-5 if setting.is_gpu else 0):  # atomics on a GPU add in any order
        raise AssertionError(f"weights differ by up to {worst:.1e}")
    return f"weights within {worst:.0e} after a resume in the middle of an epoch"


def check_units(setting: Setting) -> str:
    """Units and hidden states of the bundled encoder are those of the CPU, but for rounding."""
    try:  # they read audio, for which a Python with torch alone has no libraries
        from hf_rspin import KMeans, UnitTokenizer
        from hf_rspin.models import load_encoder
        from hf_rspin.models.folders import encoder_folder
        from hf_rspin.resources import load_sample
        from hf_rspin.units import layer_features
    except ImportError as error:
        return f"left out: {error}"
    from hf_rspin.audio import read_audio

    sources = [read_audio(cell) for cell in load_sample("test")["audio"][:8]]
    encoder, kmeans = load_encoder(encoder_folder()), KMeans(32, source="layer 6")
    states = [layer_features(encoder, 6)(one) for one in sources]  # (frames, dim) each
    kmeans.partial_fit(np.concatenate(states))
    features = layer_features(encoder.to(setting.device), 6)
    worst = max(
        float(np.abs(features(one) - expected).max())
        for one, expected in zip(sources, states, strict=True)
    )
    assert worst < 1e-2, f"hidden states differ by {worst:.1e}"
    tokenizer = UnitTokenizer(encoder, "layer", kmeans, 6)
    units = np.concatenate([one.frame_ids for one in tokenizer(sources)])
    same = float((units == kmeans.predict(np.concatenate(states))).mean())
    assert same > 0.99, f"only {same:.1%} of the units are equal"
    return f"{same:.2%} of {len(units)} units equal, hidden states within {worst:.1e}"


CHECKS: dict[str, Callable[[Setting], str]] = {
    "soft-DTW kernel": check_soft_dtw,
    "Spin loss": check_spin_loss,
    "bfloat16": partial(check_precision, torch.bfloat16),
    "float16": partial(check_precision, torch.float16),
    "WavLM attention": check_wavlm,
    "torch.compile": check_compile,
    "resume": check_resume,
    "units": check_units,
}


# Speeds: each yields (what, ours, peer, unit)

Row = tuple[str, float, float | None, str]


def step(model: Any, loss: Callable[[], Tensor], setting: Setting) -> Callable[[], None]:
    """Return a training step under bfloat16 autocast."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-6, fused=True)

    def run() -> None:
        with torch.autocast(setting.device.type, torch.bfloat16):
            value = loss()
        value.backward()
        optimizer.step()
        optimizer.zero_grad()

    return run


def speed_of_rspin(setting: Setting, family: str = "hubert") -> list[Row]:
    """R-Spin steps, all layers, against eager attention and plain losses."""
    sizes = setting.sizes
    views = setting.views(sizes.utterances, sizes.seconds)
    heads = {"num_pseudo_labels": sizes.labels, "codebook_size": sizes.codes}
    ours = build("spin", family, sizes.encoder, **heads).to(setting.device).train()
    speed_up_training(ours.base_model)
    frames = ours(views[0][:1]).last_hidden_state.shape[1]
    labels = torch.randint(sizes.labels, (len(views[0]), frames), device=setting.device)
    own = step(
        ours, lambda: ours(views[0], perturbed_input_values=views[1], labels=labels).loss, setting
    )
    mine = setting.seconds(own)
    naive = naive_encoder(build("spin", family, sizes.encoder, **heads)).to(setting.device).train()
    peer = setting.seconds(step(naive, naive_rspin_step(naive, views, labels), setting))
    audio = sizes.utterances * sizes.seconds
    return [(f"R-Spin step, {family}", audio / mine, audio / peer, "audio-s / s")]


def speed_of_laser(setting: Setting) -> list[Row]:
    """LASER steps, all layers, against eager attention."""
    sizes = setting.sizes
    views = setting.views(sizes.utterances, sizes.seconds)
    found = []
    for prepare in (lambda m: speed_up_training(m.base_model) and m, naive_encoder):
        model = prepare(build("laser", "hubert", sizes.encoder)).to(setting.device).train()
        run = step(model, partial(_laser_loss, model, views), setting)
        found.append(sizes.utterances * sizes.seconds / setting.seconds(run))
    return [("LASER step, hubert (peer: eager attention)", *found, "audio-s / s")]


def _laser_loss(model: Any, views: list[Tensor]) -> Tensor:
    return model(views[0], perturbed_input_values=views[1]).loss


def speed_of_losses(setting: Setting) -> list[Row]:
    """The Spin loss and soft-DTW, forward and backward, against plain PyTorch."""
    sizes = setting.sizes
    device = setting.device
    inputs = [normalize(torch.randn(n, 256, device=device), dim=-1).requires_grad_()
              for n in (sizes.spin_frames, sizes.spin_frames, sizes.codes)]  # fmt: skip
    ours = setting.seconds(lambda: torch.autograd.grad(spin_loss(*inputs).loss, inputs))
    peer = setting.seconds(lambda: torch.autograd.grad(naive_spin_loss(*inputs), inputs))
    batch, rows, columns = sizes.dtw
    x, y = (normalize(torch.randn(batch, n, 256, device=device), dim=-1).requires_grad_()
            for n in (rows, columns))  # fmt: skip
    dtw = setting.seconds(lambda: torch.autograd.grad(soft_dtw(x, y).sum(), (x, y)))
    plain = setting.seconds(lambda: torch.autograd.grad(naive_soft_dtw(x, y).sum(), (x, y)), 1)
    return [
        (f"Spin loss, {sizes.spin_frames} frames x {sizes.codes} codes", 1e3 * ours, 1e3 * peer,
         "ms"),
        (f"soft-DTW, {batch} x {rows} x {columns}", 1e3 * dtw, 1e3 * plain, "ms"),
        ("soft-DTW (peer: its memory bound)", 1e3 * dtw, 1e3 * memory_bound(setting), "ms"),
    ]  # fmt: skip


def memory_bound(setting: Setting) -> float:
    """Return the seconds that the matrices of soft-DTW take to be written and read once each.

    The products are written, read, overwritten by the alignment, and that is read twice for the
    gradients; the bandwidth is that of a copy of 256 MiB.
    """
    batch, rows, columns = setting.sizes.dtw
    block = torch.empty(2**26 if setting.is_gpu else 2**20, device=setting.device)
    other = torch.empty_like(block)
    copied = 2 * 4 * block.numel() / setting.seconds(lambda: other.copy_(block))
    return 5 * 4 * batch * rows * columns / copied


@torch.inference_mode()
def speed_of_extraction(setting: Setting) -> list[Row]:
    """Labels and features of a base-size model, in hours of audio per second."""
    sizes = setting.sizes
    views, rows = setting.views(2 * sizes.utterances, sizes.seconds), []
    hours = 2 * sizes.utterances * sizes.seconds / 3600
    for name, options in (("labels (units)", {}), ("features", {"output_hidden_states": True})):
        found = []
        for prepare in (lambda m: m, naive_encoder):
            model = prepare(build("spin", "hubert", sizes.encoder, codebook_size=sizes.codes))
            model = model.to(setting.device).eval()
            with torch.autocast(setting.device.type, torch.bfloat16):
                found.append(hours / setting.seconds(partial(model, views[0], **options)))
        rows.append((f"{name} (peer: eager attention)", *found, "hours / s"))
    return rows


SPEEDS: dict[str, Callable[[Setting], list[Row]]] = {
    "R-Spin of HuBERT": speed_of_rspin,
    "R-Spin of WavLM": partial(speed_of_rspin, family="wavlm"),
    "LASER": speed_of_laser,
    "losses": speed_of_losses,
    "labels and features": speed_of_extraction,
}


def run_all(parts: dict[str, Callable], setting: Setting) -> dict[str, dict[str, Any]]:
    """Run every part for which there is time; an error ends that part only."""
    results = {}
    for name, function in parts.items():
        start = time.monotonic()
        if start > setting.ends:
            results[name] = {"status": "no time left", "found": None}
        else:
            try:
                results[name] = {"status": "passed", "found": function(setting)}
            except Exception as error:  # whatever goes wrong is what this script is to find
                reason = f"{type(error).__name__}: {str(error).strip()}"
                results[name] = {"status": "FAILED", "found": reason}
        results[name]["seconds"] = round(time.monotonic() - start, 1)
        shown = results[name]["found"]
        shown = shown if isinstance(shown, str) else ""
        print(f"{name}: {results[name]['status']} {shown} ({results[name]['seconds']} s)",
              flush=True)  # fmt: skip
        if setting.is_gpu:
            torch.cuda.empty_cache()
    return results


def table(speeds: dict[str, dict[str, Any]]) -> str:
    """Return the speeds as a table in Markdown."""
    lines = ["| what | here | peer | better by | unit |", "| :-- | --: | --: | --: | :-- |"]
    for part in speeds.values():
        for what, ours, peer, unit in part["found"] if part["status"] == "passed" else []:
            gain = peer / ours if unit == "ms" else ours / peer
            lines.append(f"| {what} | {ours:.4g} | {peer:.4g} | {gain:.2f} | {unit} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Check and time; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", default="runs/gpu_check.json", help="where the JSON goes")
    parser.add_argument("--budget", type=float, default=420, help="seconds; parts left are skipped")
    parser.add_argument("--device", default="cuda", help=argparse.SUPPRESS)
    parser.add_argument("--tiny", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.device == "cuda" and not torch.cuda.is_available():
        skipped = ", ".join([*CHECKS, *(f"speed of {name}" for name in SPEEDS)])
        print(f"There is no GPU here; skipped: {skipped}.")
        return 0
    use_large_allocations()
    setting = Setting(options.device, LEAST if options.tiny else BASE, options.budget)
    name = torch.cuda.get_device_name() if setting.is_gpu else "CPU"
    print(f"{name}, torch {torch.__version__}")
    checks = run_all(CHECKS, setting)
    speeds = run_all(SPEEDS, setting)
    print(f"\n{name}, bfloat16 autocast, base size, {BASE.utterances} x {BASE.seconds:g} s:\n"
          if setting.sizes is BASE else "\ntiny sizes, which say nothing of speed:\n")  # fmt: skip
    print(table(speeds))
    path = Path(options.output)
    path.parent.mkdir(parents=True, exist_ok=True)
    report = {"device": name, "torch": torch.__version__, "checks": checks, "speeds": speeds}
    path.write_text(json.dumps(report, indent=2) + "\n")
    return int(any(part["status"] == "FAILED" for part in (checks | speeds).values()))


if __name__ == "__main__":
    sys.exit(main())
