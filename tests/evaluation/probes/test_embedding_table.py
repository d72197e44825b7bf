import numpy as np
import pytest

from hf_rspin.evaluation.probes.embedding_table import file_hash, read_embeddings

WORDS = {"apple", "bread"}
TEXT = "3 2\nApple 1 2\napple 5 6\n. . . 7 8\n\nbread 3 4e-1\nchair x y\n"


def test_text_and_arrays_give_the_same(tmp_path):
    text, arrays = tmp_path / "vectors.txt", tmp_path / "vectors.npz"
    text.write_text(TEXT)
    np.savez(arrays, words=["Apple", "bread", "chair"], vectors=[[1, 2], [3, 0.4], [9, 9]])
    for file in (text, arrays):
        found = read_embeddings(file, WORDS)
        assert {word: vector.tolist() for word, vector in found.items()} == {
            "apple": [1, 2], "bread": [3, 0.4],
        }  # fmt: skip
    assert read_embeddings(text, {"door"}) == {}
    assert file_hash(text) != file_hash(arrays)


def test_wrong_tables_are_refused(tmp_path):
    file = tmp_path / "vectors.txt"
    with pytest.raises(ValueError, match="there is no table of embeddings .*vectors.txt"):
        read_embeddings(file, WORDS)
    assert file_hash(file) == "missing"
    file.write_text(TEXT)
    with pytest.raises(ValueError, match="line 7 of .* is 'chair x y"):
        read_embeddings(file, {"chair"})
    file.write_text("apple 1 2\nbread 1 2 3\n")
    with pytest.raises(ValueError, match=r"vectors of \[2, 3\] numbers"):
        read_embeddings(file, WORDS)
    arrays = tmp_path / "vectors.npz"
    np.savez(arrays, words=["apple"], other=[[1, 2]])
    with pytest.raises(ValueError, match=r"holds \['other', 'words'\]"):
        read_embeddings(arrays, WORDS)
    np.savez(arrays, words=["apple"], vectors=[[1, 2], [3, 4]])
    with pytest.raises(ValueError, match=r"words \(1,\) and vectors \(2, 2\)"):
        read_embeddings(arrays, WORDS)
