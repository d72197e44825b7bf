"""Ranks with unequal numbers of utterances train as one process with all of them."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from hf_rspin.data.samplers import DurationBatchSampler

SCRIPT = Path(__file__).with_name("laser_ranks.py")


def test_laser_is_the_mean_over_the_pairs_of_all_ranks(tmp_path):
    audio = tmp_path / "audio"
    audio.mkdir()
    generator = np.random.default_rng(0)
    for number in range(6):  # of equal length: padding would reach the group norm
        envelope = np.sin(np.linspace(0, 3 + number, 16_000)) ** 2
        soundfile.write(
            audio / f"{number}.wav", 0.1 * envelope * generator.standard_normal(16_000), 16_000
        )
    environment = {
        **os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"
    }
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    for name, options in (("one", []), ("two", launcher)):
        run = [sys.executable, *options, str(SCRIPT), str(audio), str(tmp_path / name)]
        done = subprocess.run(run, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
    one, first, second = (
        torch.load(tmp_path / f"{name}.pt") for name in ("one.rank0", "two.rank0", "two.rank1")
    )
    for whole, share in zip(one["gradients"], first["gradients"], strict=True):
        atol = 1e-5 * float(whole.abs().max())  # sums of other orders
        torch.testing.assert_close(share, whole, rtol=1e-4, atol=max(atol, 1e-6))
    for name in ("loss", "soft_dtw_divergence", "idm_clean", "frame_cosine"):
        assert first["log"][name] == pytest.approx(one["log"][name], rel=1e-4)
    # SCORE's coin is a draw of torch, as dropout is: each rank has its own
    assert torch.equal(first["draws"], one["draws"])
    assert not torch.equal(first["draws"], second["draws"])


def test_ranks_are_filled_up_with_other_utterances_every_epoch():
    sampler = DurationBatchSampler([5.0, 5.1, 5.2, 5.3], 5.5, seed=0, world_size=3)
    repeated = []
    for epoch in range(40):
        batches = sampler.batches(epoch)
        assert len(batches) == 6
        indices = np.concatenate(batches)
        assert set(indices) == set(range(4))
        repeated += [i for i in range(4) if np.sum(indices == i) > 1]
    counts = np.bincount(repeated, minlength=4)
    assert counts.sum() == 80 and counts.min() >= 10
