"""Frame labels: what goes in comes out, from memory, from disk and in another process."""

import hashlib
import pickle

import numpy as np
import pytest

from hf_rspin.units import FrameLabels, frame_labels

SEQUENCES = {"b/2": [3, 3, 0, -100], "a": [], "c": [6]}


def make(num_labels=7, provenance=None):
    sequences = {name: np.array(labels, np.int64) for name, labels in SEQUENCES.items()}
    return FrameLabels.from_sequences(sequences, num_labels, provenance)


def check(labels, num_labels=7):
    assert list(labels) == list(SEQUENCES) and len(labels) == 3
    for name, expected in SEQUENCES.items():
        assert name in labels
        assert labels[name].dtype == np.int64 and labels[name].tolist() == expected
    assert "zzz" not in labels
    assert labels.num_labels == num_labels and labels.num_frames == 5
    assert labels.counts().tolist() == [1, 0, 0, 2, 0, 0, 1] + [0] * (num_labels - 7)


def test_all_labels_are_read_a_part_at_a_time(monkeypatch):
    labels = make()
    expected = hashlib.sha256(labels.values.tobytes() + labels.offsets.tobytes()).hexdigest()[:16]
    monkeypatch.setattr(frame_labels, "_BLOCK", 2)
    check(labels)
    assert [block.tolist() for block in labels.blocks()] == [[3, 3], [0, -100], [6]]
    assert labels.fingerprint() == expected  # as checkpoints have it
    assert [labels.length(name) for name in labels] == [4, 0, 1]
    with pytest.raises(KeyError, match="no frame labels for the utterance 'zzz'"):
        labels.length("zzz")


def test_collected_from_a_mapping_or_from_pairs():
    check(make())
    check(FrameLabels.from_sequences(((k, np.array(v, int)) for k, v in SEQUENCES.items()), 7))


@pytest.mark.parametrize(("num_labels", "itemsize"), [(7, 2), (2**15, 2), (2**15 + 1, 4)])
def test_saved_and_loaded_in_the_smallest_type(tmp_path, num_labels, itemsize):
    provenance = {"kind": "codebook", "model": "x", "nested": {"k": [1, 2]}}
    make(num_labels, provenance).save(tmp_path / "labels")
    loaded = FrameLabels.load(tmp_path / "labels")
    check(loaded, num_labels)
    assert loaded.provenance == provenance
    assert isinstance(loaded.values, np.memmap) and loaded.values.dtype.itemsize == itemsize
    check(pickle.loads(pickle.dumps(loaded)), num_labels)
    check(pickle.loads(pickle.dumps(make(num_labels))), num_labels)


def test_a_pickle_of_labels_on_disk_holds_no_labels(tmp_path):
    FrameLabels.from_sequences({"a": np.zeros(100_000, int)}, 1).save(tmp_path / "labels")
    assert len(pickle.dumps(FrameLabels.load(tmp_path / "labels"))) < 1000


def test_the_largest_label_survives(tmp_path):
    for num_labels in (2**15, 40_000):
        FrameLabels.from_sequences({"a": np.array([num_labels - 1])}, num_labels).save(
            tmp_path / "labels"
        )
        assert FrameLabels.load(tmp_path / "labels")["a"].tolist() == [num_labels - 1]


def test_saving_replaces_labels_and_leaves_nothing_else(tmp_path):
    FrameLabels.from_sequences({"old": np.arange(9)}, 9).save(tmp_path / "labels")
    old = FrameLabels.load(tmp_path / "labels")
    make().save(tmp_path / "labels")
    check(FrameLabels.load(tmp_path / "labels"))
    assert old["old"].tolist() == list(range(9))  # still open
    assert [file.name for file in tmp_path.iterdir()] == ["labels"]


def test_saving_never_replaces_other_files(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(FileExistsError, match="empty folder"):
        make().save(tmp_path)
    assert (tmp_path / "thesis.tex").is_file()


def test_a_failed_save_leaves_the_old_labels(tmp_path):
    make().save(tmp_path / "labels")
    broken = make(provenance={"not json": object()})
    with pytest.raises(TypeError):
        broken.save(tmp_path / "labels")
    check(FrameLabels.load(tmp_path / "labels"))
    assert [file.name for file in tmp_path.iterdir()] == ["labels"]


def test_empty_labels(tmp_path):
    FrameLabels.from_sequences({}, 3).save(tmp_path / "labels")
    loaded = FrameLabels.load(tmp_path / "labels")
    assert len(loaded) == 0 and loaded.counts().tolist() == [0, 0, 0]


def test_map_keeps_ids_and_history():
    mapped = make(provenance={"kind": "codebook"}).map(lambda units: units[::-1], 7, {"kind": "x"})
    assert mapped["b/2"].tolist() == [-100, 0, 3, 3]
    assert mapped.provenance == {"kind": "x", "made_from": {"kind": "codebook"}}


def test_errors_say_what_is_wrong(tmp_path):
    with pytest.raises(KeyError, match="'zzz'.*3 utterances.*'b/2'"):
        make()["zzz"]
    with pytest.raises(ValueError, match="'a' comes twice"):
        FrameLabels.from_sequences([("a", np.zeros(1, int))] * 2, 1)
    with pytest.raises(FileNotFoundError, match="FrameLabels.save"):
        FrameLabels.load(tmp_path)
    for wrong in ([7], [-1], [[1]], [0.5]):
        with pytest.raises(ValueError, match="'b'"):
            FrameLabels.from_sequences({"b": np.array(wrong)}, 7)


def test_files_of_different_labels_are_refused(tmp_path):
    make().save(tmp_path / "labels")
    np.save(tmp_path / "labels" / "offsets.npy", np.array([0, 1, 2, 3]))
    with pytest.raises(ValueError, match="do not fit"):
        FrameLabels.load(tmp_path / "labels")


@pytest.mark.parametrize("name", ["frame_labels.json", "ids.json", "labels.npy", "offsets.npy"])
@pytest.mark.parametrize("content", [b"", b"{", b"not an array"])
def test_damaged_files_name_the_folder(tmp_path, name, content):
    make().save(tmp_path / "labels")
    (tmp_path / "labels" / name).write_bytes(content)
    with pytest.raises(ValueError, match="the frame labels in .*labels are damaged"):
        FrameLabels.load(tmp_path / "labels")
