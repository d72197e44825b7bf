"""How runs end before their last update: signals, locks, damaged checkpoints, a full disk."""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hf_rspin.training import TwoViewTrainer
from hf_rspin.training.checkpoints import SaveError, last_complete_checkpoint
from hf_rspin.training.output_lock import OutputLockedError, output_lock

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("tiny_run.py")
TRAIN = ROOT / "training_scripts" / "train.py"
HOLD = "import sys, time; from hf_rspin.training.output_lock import output_lock\n" \
       "with output_lock(sys.argv[1]): print('held', flush=True); time.sleep(60)"


def environment():
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def command(audio, encoder, output, *options):
    return [
        sys.executable, str(TRAIN), "--objective", "spin", "--encoder", str(encoder), "--corpus",
        str(audio), "--codebook_size", "8", "--min_seconds", "0.3", "--batch_seconds", "4",
        "--output_dir", str(output), "--use_cpu", "true", "--logging_steps", "1",
        "--save_steps", "1000", *map(str, options),
    ]  # fmt: skip


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGUSR1])
def test_a_signal_saves_a_checkpoint_and_says_how_to_go_on(audio, tiny_encoder, tmp_path, number):
    run = command(audio, tiny_encoder, tmp_path, "--max_steps", 5000)
    process = subprocess.Popen(
        run, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    for line in process.stdout:
        if "'step': 3" in line or "'step': '3'" in line:
            break
    process.send_signal(number)
    said = process.stdout.read()
    assert process.wait(timeout=60) == 128 + number, said[-2000:]
    assert "Traceback" not in said
    (checkpoint,) = tmp_path.glob("checkpoint-*")
    assert last_complete_checkpoint(tmp_path) == checkpoint
    last = said.strip().splitlines()[-1]
    assert last.startswith(f"Stopped by {number.name} after update {checkpoint.name[11:]}: ")
    assert last.endswith("the same command goes on from there.")
    if number == signal.SIGUSR1:
        return
    updates = int(checkpoint.name[11:]) + 1
    again = command(audio, tiny_encoder, tmp_path, "--max_steps", updates)
    done = subprocess.run(again, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0 and f"{updates} updates on" in done.stderr, done.stderr[-2000:]


def test_two_processes_stop_together(audio, tmp_path):
    output = tmp_path / "run"
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    run = [sys.executable, *launcher, str(SCRIPT), str(audio), str(output), "--steps", "3000",
           "--signal_rank_1_after", "5"]  # fmt: skip
    done = subprocess.run(run, env=environment(), capture_output=True, text=True, timeout=200)
    assert done.returncode != 0
    assert last_complete_checkpoint(output) == output / "checkpoint-6", done.stderr[-2000:]


def test_one_run_at_a_time_and_the_lock_dies_with_its_process(tiny, audio, tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], env=environment(), stdout=subprocess.PIPE
    )
    assert holder.stdout.readline() == b"held\n"
    args = tiny.tiny_arguments(tmp_path, max_steps=1, save_strategy="no")
    trainer = TwoViewTrainer(tiny.tiny_model(), args, train_dataset=tiny.tiny_dataset(audio))
    with pytest.raises(OutputLockedError, match=f"in use by another run .process {holder.pid}."):
        trainer.train()
    holder.kill()
    holder.wait()
    trainer.train()
    with output_lock(tmp_path), output_lock(tmp_path):  # nested, as scripts hold it
        pass


@pytest.mark.parametrize("name", ["optimizer.pt", "scheduler.pt", "model.safetensors"])
def test_a_damaged_checkpoint_is_passed_over(tiny, audio, tmp_path, name, caplog):
    args = tiny.tiny_arguments(tmp_path, max_steps=2, save_steps=1)
    TwoViewTrainer(tiny.tiny_model(), args, train_dataset=tiny.tiny_dataset(audio)).train()
    (tmp_path / "checkpoint-2" / name).write_bytes(b"")
    again = TwoViewTrainer(tiny.tiny_model(), args, train_dataset=tiny.tiny_dataset(audio))
    assert again.train(resume_from_checkpoint=True).global_step == 2
    assert f"checkpoint-2 is incomplete (no valid {name}): trying the one before" in caplog.text
    assert last_complete_checkpoint(tmp_path) == tmp_path / "checkpoint-2"


def test_a_disk_that_takes_no_more_is_said(tiny, audio, tmp_path):
    args = tiny.tiny_arguments(tmp_path, max_steps=2, save_steps=1)
    trainer = TwoViewTrainer(tiny.tiny_model(), args, train_dataset=tiny.tiny_dataset(audio))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(SaveError, match="could not be saved .*: free some space; the same"):
            trainer.train()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert last_complete_checkpoint(tmp_path) is None
    TwoViewTrainer(tiny.tiny_model(), args, train_dataset=tiny.tiny_dataset(audio)).train()
