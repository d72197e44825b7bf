"""Sub-folders are splits where their names say so, and only together."""

import logging

import datasets
import pytest

from hf_rspin.data import load_corpus
from hf_rspin.data.corpora import load_corpora
from hf_rspin.data.folders import split_of, split_of_shard
from hf_rspin.training.checkpoints import remove_results


@pytest.mark.parametrize(("name", "is_split"), [
    ("train", True), ("TRAIN", True), ("train-clean-100", True), ("test_unseen", True),
    ("dev2", True), ("validation", True), ("eval", True), ("train.clean.360", True),
    ("devi", False), ("trainer_bob", False), ("valerie", False), ("trains", False),
    ("testimony", False), ("evaluator", False),
])  # fmt: skip
def test_names_of_splits(name, is_split):
    assert split_of(f"{name}/a.wav") == (name if is_split else None)
    assert split_of_shard(f"{name}-00000-of-00002.parquet") == (name if is_split else None)


def test_a_kind_of_noise_called_train_is_no_split(write, tmp_path, caplog):
    for kind in ("dog", "rain", "train"):
        write(f"{kind}/a.wav", 1.0)
    with caplog.at_level(logging.INFO):
        assert len(load_corpus(tmp_path, "auto")) == 3
    assert "sub-folder train is not taken as a split, as dog lies beside it" in caplog.text


@pytest.mark.parametrize("more", [[], ["unlabelled", "extra"]])
def test_several_splits_are_splits_whatever_lies_beside_them(write, tmp_path, caplog, more):
    for kind in ("train", "test", "test_unseen", *more):
        write(f"{kind}/a.wav", 1.0)
    with caplog.at_level(logging.INFO):
        assert load_corpus(tmp_path, "auto")["split"][:] == ["train"]
    said = "2 of 5 files lie in none of the splits test, test_unseen, train"
    assert (said in caplog.text) is bool(more)


def test_durations_in_lists_are_refused(write, tmp_path):
    path = str(write("a.wav", 1.0))
    table = datasets.Dataset.from_dict({"audio": [{"path": path}], "duration": [[1.0]]})
    with pytest.raises(ValueError, match="holds .*; expected seconds as numbers"):
        load_corpus(table)


def test_pieces_of_a_former_run_go_with_its_model(tmp_path):
    (tmp_path / "acoustic_pieces.json").write_text("{}")
    remove_results(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("folders", [("TRAIN", "TEST"), ("train-clean-100", "test-clean"),
                                     ("train", "test")])  # fmt: skip
def test_test_speech_is_left_out_whatever_its_folder_is_called_in_full(write, tmp_path, folders):
    for folder in folders:
        write(f"{folder}/a.wav", 1.0)
    found = load_corpora([tmp_path], None, ["test", "test_unseen"])
    assert found["id"][:] == [f"{folders[0]}/a"]
