"""`alignments.jsonl` beside the audio or its table."""

import json
import logging
import math

import pytest

from hf_rspin.data import load_corpus
from hf_rspin.evaluation import EvaluationSet

WORDS = {"words": ["AT"], "word_starts": [0.6], "word_ends": [0.8]}
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
        ({"file_name": "a", **LINE, "phones": ["A B", "T"]}, "line 2: .*label 'A B'; .* blanks"),
        ({"file_name": "a", **LINE, "phones": ["", "T"]}, "line 2: .*label ''"),
        ({"file_name": "a", **WORDS, "word_ends": [0.3]}, "line 2: .*0.6 to 0.3 s"),
        ({"file_name": "a", **WORDS, "word_ends": [math.inf]}, "line 2: .*0.6 to inf s"),
        ({"file_name": "a", "words": ["A"], "word_starts": [0]}, "line 2: KeyError 'word_ends'"),
    ],
)
def test_a_damaged_line_is_named(folder, line, message):
    write_lines(folder, {"file_name": "test/b.wav", **LINE}, line)
    with pytest.raises(ValueError, match=rf"alignments\.jsonl could not be .*{message}"):
        load_corpus(folder)


def test_words_may_stand_beside_phones_or_alone(folder):
    write_lines(folder, {"file_name": "train/a.wav", **LINE, **WORDS},
                {"file_name": "test/b.wav", **WORDS})  # fmt: skip
    corpus = load_corpus(folder)
    rows = dict(zip(corpus["id"], zip(corpus["alignment"], corpus["word_alignment"], strict=True),
                    strict=True))  # fmt: skip
    words = "0.000:SIL 0.600:AT 0.800:SIL"
    assert rows == {"train/a": (TEXT, words), "test/b": ("", words), "test/c": ("", "")}


def test_segments_without_time_are_left_out(folder):
    line = {"phones": ["A", "B", "C"], "phone_starts": [0, 0.5, 0.5], "phone_ends": [0.5, 0.5, 1]}
    write_lines(folder, {"file_name": "test/b.wav", **line})
    assert by_id(load_corpus(folder))["b"] == ["0.000:A 0.500:C", None]


def test_times_of_other_audio_are_left_out_and_told(folder, caplog):
    late = {"phone_starts": [0.1, 1.3], "phone_ends": [0.25, 1.5]}
    write_lines(folder, {"file_name": "test/b.wav", **LINE, **late, "score": -0.5},
                {"file_name": "train/a.wav", **LINE, "phone_ends": [0.25, 1.05]})  # fmt: skip
    found = by_id(load_corpus(folder))
    assert found["b"] == ["", None]
    assert found["a"] == ["0.000:SIL 0.100:AH0 0.250:SIL 0.300:T", None]
    assert "of 1 utterances cannot be used" in caplog.text
    assert "b.wav: T ends at 1.500 s, but the audio at 1.000 s" in caplog.text


def test_no_file_is_looked_for_where_the_source_is_none(folder, monkeypatch):
    monkeypatch.chdir(folder)
    corpus = load_corpus([str(folder / "train" / "a.wav")])
    assert "alignment" not in corpus.column_names


def test_an_evaluation_set_keeps_the_words(folder):
    write_lines(folder, {"file_name": "train/a.wav", **WORDS, "score": -2.0},
                {"file_name": "test/b.wav", **WORDS, "score": -0.5})  # fmt: skip
    corpus = load_corpus(folder)
    both = EvaluationSet.from_corpus(corpus)
    kept = EvaluationSet.from_corpus(corpus, least_score=-1.0)
    assert both.alignments is None
    assert sum(map(bool, both.word_alignments)) == 2 and sum(map(bool, kept.word_alignments)) == 1
    index = both.ids.index("test/b")
    assert both.select([index]).word_alignments == ["0.000:SIL 0.600:AT 0.800:SIL"]
    assert kept.fingerprint() != both.fingerprint()
    without = EvaluationSet.from_corpus(corpus.remove_columns("word_alignment"))
    assert without.word_alignments is None and without.fingerprint() != both.fingerprint()


def test_words_that_cannot_be_read_are_named(folder):
    (folder / "metadata.csv").write_text("file_name,word_alignment\ntest/b.wav,0.0:AT 0.2\n")
    with pytest.raises(ValueError, match="column word_alignment of test/b: .*'0.2'"):
        EvaluationSet.from_corpus(load_corpus(folder)).check_alignments()
