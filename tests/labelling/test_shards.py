"""`hf-rspin labels` by several processes: the same labels as one makes, whoever ends last."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hf_rspin.commands import labels as command
from hf_rspin.labelling.run import learned_from
from hf_rspin.resources import sample_folder
from hf_rspin.units import AcousticPieces, FrameLabels, KMeans

ROOT = Path(__file__).parents[2]
NUM_SHARDS = 2


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    """Ten utterances of the sample, and a broken file."""
    folder = tmp_path_factory.mktemp("speech")
    for number, file in enumerate(sorted(sample_folder().rglob("*.flac"))[::12][:10]):
        shutil.copy(file, folder / f"{number:02d}.flac")
    (folder / "broken.wav").write_bytes(b"not audio")
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory, speech):
    """What one process makes."""
    output = tmp_path_factory.mktemp("whole") / "labels"
    command.main(options(speech, output))
    return output


def options(speech, output, *more):
    return ["--units", "mfcc", "--num_clusters", "10", "--vocab_size", "20", "--device", "cpu",
            "--corpus", str(speech), "--output_dir", str(output), *map(str, more)]  # fmt: skip


def same(one, other):
    assert one.ids == other.ids and one.num_labels == other.num_labels
    np.testing.assert_array_equal(one.values, other.values)
    assert one.provenance == other.provenance


def check(output, whole):
    for name in ("units", "pieces"):
        same(FrameLabels.load(output / name), FrameLabels.load(whole / name))
    found, expected = (KMeans.from_pretrained(f / "kmeans") for f in (output, whole))
    np.testing.assert_array_equal(found.cluster_centers, expected.cluster_centers)
    found, expected = (
        AcousticPieces.from_pretrained(f / "acoustic_pieces") for f in (output, whole)
    )
    np.testing.assert_array_equal(found.merges, expected.merges)
    assert not (output / "units.partial").exists()


@pytest.fixture
def small_shards(monkeypatch):
    """Shards of four seconds, so that both processes get some."""
    from hf_rspin.units import shards

    start = shards.Shards.__init__
    monkeypatch.setattr(
        shards.Shards, "__init__", lambda self, *given: start(self, *given[:-1], 4.0)
    )


def test_shards_one_after_the_other_make_what_one_process_makes(
    tmp_path, speech, whole, small_shards, capsys
):
    output = tmp_path / "labels"
    command.main(options(speech, output, "--shard", 1, "--num_shards", NUM_SHARDS))
    said = capsys.readouterr().out
    assert "shard 1 of 2 is done" in said and "parts are still to come" in said
    assert not (output / "units").exists() and (output / "units.partial").is_dir()
    command.main(options(speech, output, "--shard", 0, "--num_shards", NUM_SHARDS))
    assert "pieces learned" in capsys.readouterr().out
    check(output, whole)
    before = (output / "pieces" / "labels.npy").stat().st_mtime_ns
    command.main(options(speech, output, "--shard", 1, "--num_shards", NUM_SHARDS))  # requeued
    assert (output / "pieces" / "labels.npy").stat().st_mtime_ns == before


def test_the_tasks_of_an_array_at_the_same_time(tmp_path, speech, whole):
    output = tmp_path / "labels"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SLURM_ARRAY_TASK_COUNT": "2",
                   "SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_MAX": "2"}  # fmt: skip
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "hf_rspin", "labels", *options(speech, output)],
            env={**environment, "SLURM_ARRAY_TASK_ID": task},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for task in ("1", "2")
    ]  # fmt: skip
    said = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    check(output, whole)
    assert sum("pieces learned" in out for out, _ in said) == 1
    assert "shard 0 of 2" in said[0][1] and "shard 1 of 2" in said[1][1]


def test_other_settings_and_shards_that_are_none_are_refused(tmp_path, speech, small_shards):
    output = tmp_path / "labels"
    command.main(options(speech, output, "--shard", 0, "--num_shards", 2))
    for more, message in (
        (["--num_clusters", 12, "--shard", 1, "--num_shards", 2], "num_clusters 10 .*12|12.*10"),
        (["--shard", 2, "--num_shards", 2], "got shard 2 of 2; expected 0 to 1"),
        (["--shard", 1], "got shard 1 of num_shards None; expected both"),
        (["--piece_hours", 0], "--piece_hours is 0.0; expected hours, above 0"),
    ):
        with pytest.raises(SystemExit, match=message):
            command.main(options(speech, output, *more))


def test_pieces_of_a_large_corpus_are_learned_from_a_seeded_part():
    lengths = np.random.default_rng(0).integers(50, 500, 200)
    labels = FrameLabels.from_sequences(
        {str(row): np.zeros(length, np.int64) for row, length in enumerate(lengths)}, 1
    )
    hours = lengths.sum() / 50 / 3600
    assert len(learned_from(labels, hours * 1.001, 0)) == 200
    part = learned_from(labels, hours / 2, 0)
    assert 0.4 * lengths.sum() < lengths[part].sum() <= 0.5 * lengths.sum()
    assert (np.diff(part) > 0).all()
    np.testing.assert_array_equal(part, learned_from(labels, hours / 2, 0))
    assert not np.array_equal(part, learned_from(labels, hours / 2, 1))
    assert len(learned_from(labels, 1e-9, 0)) == 1
