"""A folder is replaced as a whole, whenever its writer is killed."""

import os
import subprocess
import sys

import numpy as np
import pytest

from hf_rspin.models.folders import fetch, resolve_encoder
from hf_rspin.units import FrameLabels
from hf_rspin.whole_folders import repair_folder, whole_folder

# replaces a folder, and dies at its rename number N, before (0) or after it
WRITER = """
import os, sys
from pathlib import Path
from hf_rspin.whole_folders import whole_folder
folder, number = Path(sys.argv[1]), int(sys.argv[2])
rename, done = os.rename, []
def killed(*places):
    if len(done) == number:
        os.kill(os.getpid(), 9)
    done.append(places)
    rename(*places)
os.rename = killed
with whole_folder(folder, "config.json", "model") as written:
    (written / "config.json").write_text("new")
"""


@pytest.mark.parametrize(("renames", "found"), [(0, "old"), (1, "new"), (2, "new")])
def test_a_kill_at_any_moment_is_repaired(tmp_path, renames, found):
    folder = tmp_path / "a" / "model[1]"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("old")
    ended = subprocess.run([sys.executable, "-c", WRITER, folder, str(renames)], check=False)
    assert ended.returncode == (0 if renames == 2 else -9)
    assert folder.exists() == (renames != 1)
    repair_folder(folder)
    assert (folder / "config.json").read_text() == found
    assert os.listdir(folder.parent) == [folder.name]


def test_readers_and_the_next_writer_repair(tmp_path):
    def interrupt(name, save):
        save(tmp_path / name)
        beside = tmp_path / f".{name}.123.tmp"
        beside.mkdir()
        os.rename(tmp_path / name, beside / f"{name}.replaced")
        (beside / f"{name}.lock").touch()
        return tmp_path / name

    def save_model(folder):
        folder.mkdir()
        (folder / "config.json").write_text("old")

    labels = FrameLabels.from_sequences({"a": np.array([1, 0])}, 2)
    assert len(FrameLabels.load(interrupt("labels", labels.save))) == 1
    labels.save(interrupt("replaced", labels.save))
    assert resolve_encoder(interrupt("model", save_model)) == str(tmp_path / "model")
    assert fetch(interrupt("other", save_model)) == tmp_path / "other"
    assert sorted(os.listdir(tmp_path)) == ["labels", "model", "other", "replaced"]


def test_what_is_being_written_is_left_alone(tmp_path):
    with whole_folder(tmp_path / "model", "config.json", "model") as written:
        (written / "config.json").write_text("new")
        repair_folder(tmp_path / "model")
        assert written.is_dir()
    assert (tmp_path / "model" / "config.json").read_text() == "new"
