"""`alignments.jsonl` beside the audio or its table."""

import json
import logging

import pytest

from hf_rspin.data import load_corpus

LINE = {"phones": ["AH0", "T"], "phone_starts": [0.1, 0.3], "phone_ends": [0.25, 0.5]}
TEXT = "0.000:SIL 0.100:AH0 0.250:SIL 0.300:T 0.500:SIL"


def write_lines(folder, *lines):
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    (folder / "alignments.jsonl").write_text(text + "\n\n", encoding="utf-8")


@pytest.fixture
def folder(write, tmp_path):
    for name in ("train/a", "test/b", "test/c"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write(f"{name}.wav")
    lines = [{"file_name": "test/b.wav", **LINE, "score": -0.5, "words": ["AT"]},
             {"file_name": "gone.wav", **LINE}, {"file_name": "train/a.wav", **LINE}]  # fmt: skip
    write_lines(tmp_path, *lines)
    return tmp_path


def by_id(corpus):
    rows = zip(corpus["id"], corpus["alignment"], corpus["alignment_score"], strict=True)
    return {name.split("/")[-1]: rest for name, *rest in rows}


def test_a_folder_of_audio_gets_them_without_a_warning(folder, caplog):
    with caplog.at_level(logging.WARNING):
        found = by_id(load_corpus(folder))
    assert found == {"a": [TEXT, None], "b": [TEXT, -0.5], "c": ["", None]}
    assert not caplog.records


def test_they_stand_beside_a_table_which_may_be_named(folder):
    table = "file_name,speaker\ntrain/a.wav,x\ntest/b.wav,y\n"
    (folder / "metadata.csv").write_text(table)
    for source in (folder, folder / "metadata.csv"):
        assert by_id(load_corpus(source)) == {"a": [TEXT, None], "b": [TEXT, -0.5]}


def test_a_column_of_the_table_is_kept(folder):
    (folder / "metadata.csv").write_text("file_name,alignment\ntest/b.wav,0.0:SIL 0.2:T\n")
    corpus = load_corpus(folder)
    assert corpus["alignment"][:] == ["0.0:SIL 0.2:T"]
    assert "alignment_score" not in corpus.column_names


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2: JSONDecodeError"),
        ('["a"]', "line 2: TypeError"),
        ({"file_name": "a"}, "line 2: KeyError 'phones'"),
        ({"file_name": "a", **LINE, "phone_ends": [0.2]}, "line 2: ValueError got 2 phones"),
        ({"file_name": "a", **LINE, "phone_ends": [0.2, None]}, "line 2: TypeError"),
    ],
)
def test_a_damaged_line_is_named(folder, line, message):
    write_lines(folder, {"file_name": "test/b.wav", **LINE}, line)
    with pytest.raises(ValueError, match=rf"alignments\.jsonl could not be .*{message}"):
        load_corpus(folder)
