"""The script as users run it."""

import os
import subprocess
import sys
from pathlib import Path

import torch

from hf_rspin.models import RSpinHubertModel

from .official_files import build, spin_checkpoint

SCRIPT = Path(__file__).parents[2] / "training_scripts" / "convert_checkpoint.py"


class Opens:
    """Pickles as an object that creates a file when it is loaded."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return open, (self.file, "w")


def run(*arguments):
    return subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, arguments)],
        capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def test_convert_says_what_it_made(tmp_path):
    content = spin_checkpoint(build(), {"logger": Opens(str(tmp_path / "it_ran"))})
    content["state_dict"]["odd.weight"] = torch.rand(1)
    torch.save(content, tmp_path / "spin.ckpt")
    out = tmp_path / "made"
    done = run(tmp_path / "spin.ckpt", out, "--num-attention-heads", 4)
    assert done.returncode == 0, done.stderr
    for text in (
        "RSpinModel", "heads: 4 (--num-attention-heads)", "2 layers of 32", "6 codes of 5",
        "do_normalize False", "label_embs_concat", "io.open", "post-norm",
        "strides (5, 2, 2, 2, 2, 2, 2)",
    ):  # fmt: skip
        assert text in done.stdout, text
    assert "odd.weight" in done.stderr
    assert not (tmp_path / "it_ran").exists()
    assert RSpinHubertModel.from_pretrained(out).config.codebook_size == 6


def test_a_mistake_is_one_sentence(tmp_path):
    torch.save(spin_checkpoint(build()), tmp_path / "cut.ckpt")
    data = (tmp_path / "cut.ckpt").read_bytes()
    (tmp_path / "cut.ckpt").write_bytes(data[: len(data) // 2])
    done = run(tmp_path / "cut.ckpt", tmp_path / "out")
    assert done.returncode == 1 and not done.stdout
    assert "cut off or damaged" in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["cut.ckpt"]
