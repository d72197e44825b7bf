"""Several corpora as one, without the splits that are measured on."""

import pytest

from hf_rspin.data.corpora import load_corpora


@pytest.fixture
def folders(write, tmp_path):
    for name in ("one/train/a", "one/train/b", "one/test/c", "two/a", "two/d"):
        write(f"{name}.wav")
    return [tmp_path / "one", tmp_path / "two"]


def test_splits_are_left_out_and_ids_that_repeat_get_the_name_of_their_corpus(folders, write):
    corpus = load_corpora(folders, None, ["test", "test_unseen"])
    assert corpus.column_names == ["id", "audio", "duration"]
    assert corpus["id"][:] == ["train/a", "train/b", "a", "d"]
    assert load_corpora(folders[:1])["id"][:] == ["test/c", "train/a", "train/b"]
    assert load_corpora(folders[:1], "test")["id"][:] == ["test/c"]
    write("one/a.wav")
    assert load_corpora(folders, None, ["test"])["id"][:] == [
        "one/a", "one/train/a", "one/train/b", "two/a", "two/d",
    ]  # fmt: skip


def test_where_nothing_is_left_that_is_said(folders):
    with pytest.raises(ValueError, match="no utterance outside of the splits train, test: name"):
        load_corpora(folders[:1], None, ["train", "test"])
