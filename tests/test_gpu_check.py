"""The check of a GPU: every part of it runs here on the CPU, with tiny sizes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]


def run(*arguments, **environment):
    return subprocess.run(
        [sys.executable, str(ROOT / "training_scripts/gpu_check.py"), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment}, capture_output=True, text=True,
    )  # fmt: skip


def test_every_part_runs_on_a_cpu(tmp_path):
    done = run("--device", "cpu", "--tiny", "--output", tmp_path / "found.json")
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    found = json.loads((tmp_path / "found.json").read_text())
    parts = found["checks"] | found["speeds"]
    assert len(parts) == 13 and {part["status"] for part in parts.values()} == {"passed"}
    rows = [row for part in found["speeds"].values() for row in part["found"]]
    assert len(rows) == 8 and all(ours > 0 and peer > 0 for _, ours, peer, _ in rows)
    for name, *_ in rows:
        assert f"| {name} |" in done.stdout


def test_without_time_parts_are_named_and_left_out(tmp_path):
    done = run("--device", "cpu", "--tiny", "--budget", -1, "--output", tmp_path / "found.json")
    assert done.returncode == 0 and done.stdout.count("no time left") == 13


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_one_line_says_what_was_skipped(tmp_path):
    done = run(CUDA_VISIBLE_DEVICES="")
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and len(lines) == 1
    assert "no GPU" in lines[0] and "resume" in lines[0] and "speed of LASER" in lines[0]


def test_the_plain_losses_are_those_of_the_package(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "training_scripts"))
    from benchmarks.naive import naive_soft_dtw, naive_spin_loss

    from hf_rspin.losses import soft_dtw, spin_loss

    torch.manual_seed(0)
    x, y = torch.randn(2, 7, 5), torch.randn(2, 9, 5)
    torch.testing.assert_close(naive_soft_dtw(x, y), soft_dtw(x, y), rtol=1e-4, atol=1e-3)
    views = [torch.nn.functional.normalize(torch.randn(n, 8), dim=-1) for n in (50, 50, 6)]
    torch.testing.assert_close(naive_spin_loss(*views), spin_loss(*views).loss)
