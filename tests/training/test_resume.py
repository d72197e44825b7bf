"""A run killed with SIGKILL and resumed gives the losses of one that was not."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hf_rspin.data.checks import ConfigurationError
from hf_rspin.hub import check_folder
from hf_rspin.training import TwoViewTrainer
from hf_rspin.training.checkpoints import last_complete_checkpoint

SCRIPT = Path(__file__).with_name("tiny_run.py")
ROOT = Path(__file__).parents[2]
COMPARED = ("step", "loss", "spin_loss", "accuracy", "code_perplexity", "grad_norm",
            "learning_rate", "processed_hours", "epoch")  # fmt: skip


def start(*arguments):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip


def trainer_of(tiny, audio, output, workers=0):
    args = tiny.tiny_arguments(output, dataloader_num_workers=workers)
    return TwoViewTrainer(tiny.tiny_model(), args, train_dataset=tiny.tiny_dataset(audio))


def compared(trainer):
    logs = [entry for entry in trainer.state.log_history if "loss" in entry]
    return [{name: entry[name] for name in COMPARED} for entry in logs]


@pytest.fixture(scope="module")
def uninterrupted(tiny, audio, tmp_path_factory):
    trainer = trainer_of(tiny, audio, tmp_path_factory.mktemp("whole"))
    assert 3 < len(trainer.get_train_dataloader()) < 10  # the ten updates cross an epoch
    trainer.train()
    return compared(trainer)


@pytest.mark.parametrize(("workers", "kill_after", "last"), [(0, 8, 6), (2, 5, 3)])
def test_killed_and_resumed_equals_uninterrupted(
    tiny, audio, tmp_path, uninterrupted, workers, kill_after, last
):
    output = tmp_path / "run"
    options = ("--workers", workers, "--kill_after", kill_after)
    killed = start(SCRIPT, audio, output, *options)
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-2000:]
    torn = output / "checkpoint-9"  # what a kill while saving would leave
    torn.mkdir()
    (torn / "model.safetensors").write_bytes(b"half")
    assert last_complete_checkpoint(output) == output / f"checkpoint-{last}"
    resumed = trainer_of(tiny, audio, output, workers)
    resumed.train(resume_from_checkpoint=True)
    assert [entry["step"] for entry in compared(resumed)] == list(range(1, 11))
    assert compared(resumed) == uninterrupted


def test_a_finished_run_is_not_trained_further(tiny, audio, tmp_path):
    args = tiny.tiny_arguments(tmp_path, max_steps=2, save_steps=2)
    TwoViewTrainer(tiny.tiny_model(), args, train_dataset=tiny.tiny_dataset(audio)).train()
    again = TwoViewTrainer(tiny.tiny_model(), args, train_dataset=tiny.tiny_dataset(audio))
    assert again.train(resume_from_checkpoint=True).global_step == 2
    assert again.state.log_history[-1]["step"] == 2


def test_changed_data_is_refused_on_resume(tiny, audio, tmp_path):
    args = tiny.tiny_arguments(tmp_path, max_steps=2, save_steps=1)
    TwoViewTrainer(tiny.tiny_model(), args, train_dataset=tiny.tiny_dataset(audio)).train()
    args = tiny.tiny_arguments(tmp_path, max_steps=2, batch_seconds=6)
    other = TwoViewTrainer(tiny.tiny_model(), args, train_dataset=tiny.tiny_dataset(audio))
    with pytest.raises(ConfigurationError, match="otherwise .batch_seconds was 4 and is 6.: go on"):
        other.train(resume_from_checkpoint=str(tmp_path / "checkpoint-1"))


def test_nothing_to_resume_is_said(tiny, audio, tmp_path):
    with pytest.raises(ValueError, match="no complete checkpoint"):
        trainer_of(tiny, audio, tmp_path).train(resume_from_checkpoint=True)


def test_two_processes_share_the_data_and_agree(audio, tmp_path):
    output = tmp_path / "run"
    copy, bad = tmp_path / "audio", ["u03.wav", "u08.wav", "u11.wav", "u17.wav"]
    shutil.copytree(audio, copy)
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", 2)
    run = start(
        *launcher, SCRIPT, copy, output, "--steps", 3, "--accumulation", 2, "--damage", *bad
    )
    assert run.returncode == 0, run.stderr[-3000:]
    ranks = [json.loads(Path(f"{output}.rank{rank}.json").read_text()) for rank in (0, 1)]
    seen = [set(rank["indices"]) for rank in ranks]
    assert seen[0].isdisjoint(seen[1])
    assert seen[0] | seen[1] == set(range(ranks[0]["utterances"]))
    assert len(ranks[0]["checksums"]) == 3
    assert ranks[0]["checksums"] == ranks[1]["checksums"]
    logs = [[entry for entry in rank["history"] if "loss" in entry] for rank in ranks]
    assert logs[0] == logs[1]
    assert ranks[0]["skipped"] == ranks[1]["skipped"] == bad  # each rank met some of them
    assert logs[0][-1]["skipped_files"] == 4
    check_folder(output / "checkpoint-3")  # which both saved together
    assert "in each of 2 processes" in (output / "checkpoint-3" / "README.md").read_text()


def test_two_processes_with_different_files_are_refused(audio, tmp_path):
    fewer = tmp_path / "audio"
    shutil.copytree(audio, fewer)
    (fewer / "u05.wav").unlink()
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", 2)
    run = start(*launcher, SCRIPT, audio, tmp_path / "run", "--audio_of_others", fewer)
    assert run.returncode != 0
    assert "The processes see different corpora (24, 23 utterances)" in run.stderr
    assert not list(tmp_path.glob("run/checkpoint-*"))
