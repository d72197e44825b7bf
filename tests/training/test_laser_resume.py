"""A run of LASER or SCORE killed with SIGKILL and resumed gives the losses of one that was not."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("tiny_laser.py")
COMPARED = ("step", "loss", "soft_dtw_divergence", "idm_clean", "idm_perturbed", "frame_cosine",
            "frame_cosine_spread", "grad_norm", "learning_rate", "processed_hours",
            "epoch")  # fmt: skip


def compared(trainer):
    logs = [entry for entry in trainer.state.log_history if "loss" in entry]
    return [{name: entry[name] for name in COMPARED} for entry in logs]


@pytest.mark.parametrize("method", ["laser", "score"])
def test_killed_and_resumed_equals_uninterrupted(
    tiny_laser, tiny_encoder, audio, tmp_path, method
):
    whole = tiny_laser.laser_trainer(audio, tmp_path / "whole", tiny_encoder, method)
    whole.train()
    assert 5 < len(whole.get_train_dataloader()) / 4 < 10  # the ten updates cross an epoch
    output, cache = tmp_path / "run", tmp_path / "cache"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    arguments = [SCRIPT, audio, output, tiny_encoder, method, 8, cache]
    killed = subprocess.run(
        [sys.executable, *map(str, arguments)], env=environment, capture_output=True, text=True
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-2000:]
    resumed = tiny_laser.laser_trainer(
        audio, output, tiny_encoder, method, lower_states_cache=str(cache)
    )
    resumed.train(resume_from_checkpoint=True)
    assert resumed.cache.misses == 0 < resumed.cache.hits
    assert [entry["step"] for entry in compared(resumed)] == list(range(1, 11))
    for found, expected in zip(compared(resumed), compared(whole), strict=True):
        assert found == pytest.approx(expected, rel=1e-5)
    if method == "score":  # another teacher, such as the student of the checkpoint, would differ
        assert compared(whole)[-1]["soft_dtw_divergence"] > 1e-5
