"""The templates for clusters run in bash, with programs that stand in for SLURM's and torch's.

`srun` starts its command once per node, all on this machine, hands signals on to every process of
it, as SLURM does, and ends what a task leaves behind. `torchrun` starts one process, is ended by
the signal where it does not ignore it, and fails where its process does. `hf_rspin` does at a
signal as a training or a labelling does; the real ones are signalled in `training/test_ending.py`.
"""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

TEMPLATES = Path(__file__).parents[1] / "training_scripts" / "cluster"
PROGRAMS = {
    "scontrol": """
        echo "scontrol $*" >> "$RECORD"
        if [ "$1" = show ]; then echo 127.0.0.1; echo other; fi
    """,
    "srun": """
        echo "srun $*" >> "$RECORD"
        for rank in $(seq 0 $((SLURM_NNODES - 1))); do
            SLURM_PROCID=$rank setsid "$@" & nodes="$nodes $!"
        done
        trap 'for node in $nodes; do kill -USR1 -- "-$node"; done' USR1
        code=0
        for node in $nodes; do
            while kill -0 "$node" 2>/dev/null; do wait "$node"; done
            wait "$node" || code=$?
            kill -KILL -- "-$node" 2>/dev/null  # what a task leaves behind
        done
        exit "$code"
    """,
    "torchrun": f"""
        while [ "$1" != -m ]; do shift; done
        RANK=${{SLURM_PROCID:-0}} "{sys.executable}" "$@" & wait "$!" || exit 1
    """,
    "hf-rspin": f'exec "{sys.executable}" -m hf_rspin "$@"',
}
WORK = """
import os, pathlib, signal, sys, time
folder = pathlib.Path(sys.argv[sys.argv.index("--output_dir") + 1])
rank = os.environ.get("RANK", "0")
if "--broken" in sys.argv:
    sys.exit(3)
if (folder / f"saved.{rank}").exists():
    sys.exit(0)
def save(number, frame):
    time.sleep(0.2)
    (folder / f"saved.{rank}").touch()
    sys.exit(128 + number)
if sys.argv[1] == "train":
    signal.signal(signal.SIGUSR1, save)
else:
    signal.signal(signal.SIGTERM, save)
(folder / f"ready.{rank}").write_text(" ".join(sys.argv[1:]))
time.sleep(60)
"""


@pytest.fixture
def cluster(tmp_path):
    """Return the environment of a job; its `RECORD` is what SLURM's programs were asked."""
    for name, text in PROGRAMS.items():
        (tmp_path / "bin" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "bin" / name).write_text(f"#!/bin/bash\n{text}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    (tmp_path / "hf_rspin").mkdir()
    (tmp_path / "hf_rspin" / "__init__.py").touch()
    (tmp_path / "hf_rspin" / "__main__.py").write_text(WORK)
    (tmp_path / "output").mkdir()
    return {
        **os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(tmp_path), "RECORD": str(tmp_path / "record"), "OMP_NUM_THREADS": "1",
        "OUTPUT": str(tmp_path / "output"), "SLURM_JOB_ID": "77", "SLURM_GPUS_ON_NODE": "1",
        "SLURM_NNODES": "2", "SLURM_JOB_NODELIST": "node[1-2]", "SLURM_ARRAY_JOB_ID": "70",
        "SLURM_ARRAY_TASK_ID": "3",
    }  # fmt: skip


def start(template, cluster, *options):
    run = ["bash", str(TEMPLATES / template), *options]
    return subprocess.Popen(
        run, cwd=cluster["OUTPUT"], env=cluster, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip


def requeued(cluster):
    record = Path(cluster["RECORD"])
    asked = record.read_text().splitlines() if record.exists() else []
    return [line.removeprefix("scontrol requeue ") for line in asked if " requeue " in line]


@pytest.mark.parametrize(
    "template,job,processes,message",
    [
        ("train.sbatch", "77", 1, "train --objective rspin .* --max_steps 9"),
        ("train_nodes.sbatch", "77", 2, "train --objective rspin .* --max_steps 9"),
        ("labels.sbatch", "70_3", 1, "labels --corpus .* --max_steps 9"),
        ("evaluate.sbatch", "70_3", 1, "evaluate --encoders .* --max_steps 9"),
    ],
)
def test_a_job_whose_time_is_over_is_queued_again_and_then_ends(
    cluster, template, job, processes, message
):
    job_step, output = start(template, cluster, "--max_steps", "9"), Path(cluster["OUTPUT"])
    deadline = time.monotonic() + 120
    while len(list(output.glob("ready.*"))) < processes and time.monotonic() < deadline:
        assert job_step.poll() is None, job_step.stdout.read()
        time.sleep(0.05)
    job_step.send_signal(signal.SIGUSR1)  # to the shell alone, as `--signal=B:USR1@...` says
    said = job_step.communicate(timeout=60)[0]
    assert job_step.returncode == 138, said
    assert len(list(output.glob("saved.*"))) == processes and requeued(cluster) == [job]
    for ready in output.glob("ready.*"):
        assert re.fullmatch(message, ready.read_text())
    again = start(template, cluster)
    said = again.communicate(timeout=120)[0]
    assert again.returncode == 0 and requeued(cluster) == [job], said


@pytest.mark.parametrize("template", ["train.sbatch", "labels.sbatch"])
def test_a_job_that_fails_is_not_queued_again(cluster, template):
    job_step = start(template, cluster, "--broken")
    said = job_step.communicate(timeout=120)[0]
    assert job_step.returncode not in (0, 138) and requeued(cluster) == [], said


@pytest.mark.parametrize("template", sorted(TEMPLATES.glob("*.sbatch")), ids=lambda f: f.name)
def test_every_template_asks_for_the_signal_that_it_catches(template):
    said = template.read_text()
    for line in ("#SBATCH --signal=B:USR1@", "#SBATCH --requeue", "scontrol requeue"):
        assert line in said
