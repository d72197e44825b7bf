"""Times of phones and words in TextGrids, .phn and .wrd, and columns `segments`."""

import json
import logging
import re

import datasets
import pytest
from praatio import textgrid

from hf_rspin.data import load_corpus
from hf_rspin.data.alignment_files import read_textgrid
from hf_rspin.resources import frame_phones

PHONES = [(0.0, 0.1, "sil"), (0.1, 0.25, "AH0"), (0.25, 0.3, ""), (0.3, 0.5, "T"), (0.5, 1.0, "")]
WORDS = [(0.0, 0.1, ""), (0.1, 0.5, "AT"), (0.5, 1.0, "")]
PHONE_TEXT = "0.000:SIL 0.100:AH0 0.250:SIL 0.300:T 0.500:SIL"
WORD_TEXT = "0.000:SIL 0.100:AT 0.500:SIL"
NOTHING = {"alignment": "", "word_alignment": ""}
BOTH = {"alignment": PHONE_TEXT, "word_alignment": WORD_TEXT}


def write_grid(path, form="long_textgrid", **tiers):
    """Write a TextGrid with tiers, spaces of their names written as _."""
    grid = textgrid.Textgrid()
    for name, segments in tiers.items():
        kept = [one for one in segments if one[2]]
        grid.addTier(textgrid.IntervalTier(name.replace("_", " "), kept, 0, segments[-1][1]))
    grid.save(str(path), format=form, includeBlankSpaces=True)


def times(corpus, *columns):
    columns = columns or ("alignment", "word_alignment")
    return {row["id"]: {name: row[name] for name in columns} for row in corpus}


@pytest.mark.parametrize("form", ["long_textgrid", "short_textgrid"])
@pytest.mark.parametrize("names", [("phones", "words"), ("PHONES", "Words"),
                                   ("A_-_phones", "A_-_words")])  # fmt: skip
def test_textgrids_beside_the_audio(write, tmp_path, names, form):
    write("deep/a.wav")
    write("deep/b.wav")
    write_grid(tmp_path / "deep" / "a.TextGrid", form, **dict(zip(names, (PHONES, WORDS),
                                                                  strict=True)))  # fmt: skip
    corpus = load_corpus(tmp_path)
    assert times(corpus) == {"deep/a": BOTH, "deep/b": NOTHING}
    assert "alignment_score" not in corpus.column_names


def test_a_grid_of_words_alone_makes_no_column_of_phones(write, tmp_path):
    write("a.wav")
    write_grid(tmp_path / "a.textgrid", words=WORDS, notes=[(0, 1, "a quiet room")])
    corpus = load_corpus(tmp_path)
    assert corpus["word_alignment"][:] == [WORD_TEXT] and "alignment" not in corpus.column_names


def test_blanks_in_labels_and_utf_16_are_read(write, tmp_path):
    write("a.wav")
    write_grid(tmp_path / "a.TextGrid", words=[(0, 0.5, "new  york"), (0.5, 1, "è")])
    text = (tmp_path / "a.TextGrid").read_text(encoding="utf-8")
    (tmp_path / "a.TextGrid").write_text(text, encoding="utf-16")
    assert load_corpus(tmp_path)["word_alignment"][:] == ["0.000:new_york 0.500:è"]


def test_timit_counts_samples_and_words_may_overlap(write, tmp_path):
    write("SA1.wav", 1.0)
    write("half.wav", 1.0, rate=8000)
    (tmp_path / "SA1.PHN").write_text("0 1600 h#\n1600 4000 sh\n4000 4000 q\n4800 8000 iy\n8000"
                                      " 16010 h#\n")  # fmt: skip
    (tmp_path / "SA1.WRD").write_text("1600 4800 she\n4000 8000 had\n")
    (tmp_path / "half.phn").write_text("800 8000 aa\n")
    found = times(load_corpus(tmp_path))
    assert found["SA1"] == {
        "alignment": "0.000:SIL 0.100:sh 0.250:SIL 0.300:iy 0.500:SIL",
        "word_alignment": "0.000:SIL 0.100:she 0.250:had 0.500:SIL",
    }
    assert found["half"]["alignment"] == "0.000:SIL 0.100:aa"


def test_an_end_at_the_end_of_the_audio_is_no_mistake(write, tmp_path):
    write("a.wav", samples=[0.1, -0.1] * 23398 + [0.1])  # 2.9248 s
    (tmp_path / "a.phn").write_text("0 46797 aa\n")
    write("b.wav", 1.0)
    (tmp_path / "b.phn").write_text("0 16500 aa\n16500 17500 h#\n")  # headers round
    found = times(load_corpus(tmp_path), "alignment")
    assert found["a"]["alignment"] == found["b"]["alignment"] == "0.000:aa"
    assert set(frame_phones("0.000:aa 2.925:SIL", 46797)) == {"aa"}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.TextGrid", "nothing", r"a\.TextGrid could not be read as a TextGrid \(\w+: .*save it"),
        ("a.TextGrid", "", r"a\.TextGrid could not be read as a TextGrid"),
        ("a.TextGrid", b"\xff\xe9", r"a\.TextGrid could not be read as a TextGrid"),
        ("a.phn", "0 3050\n", r"a\.phn, line 1 is '0 3050'; expected start and end in samples"),
        ("a.phn", "\n0.1 0.2 aa\n", r"a\.phn, line 2 is '0\.1 0\.2 aa'"),
        ("a.wrd", b"0 100 \xff\n", r"a\.wrd is no text in UTF-8"),
        ("a.phn", "0 3050 aa\n2000 4000 b\n", r"a\.wav: b from 0\.125 to 0\.25 s follows 0\.191"),
        ("a.phn", "3000 1000 aa\n", r"a\.wav: aa from 0\.188 to 0\.062"),
        ("a.phn", "0 30000 aa\n", r"a\.wav: aa ends at 1\.875 s, but the audio at 1\.000 s: .*ra"),
    ],
)
def test_what_cannot_be_used_leaves_one_utterance_empty(write, tmp_path, caplog, name, text,
                                                        message):  # fmt: skip
    write("a.wav")
    write("b.wav")
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    write_grid(tmp_path / "b.TextGrid", phones=PHONES, words=WORDS)
    with caplog.at_level(logging.WARNING):
        assert times(load_corpus(tmp_path)) == {"a": NOTHING, "b": BOTH}
    assert len(caplog.records) == 1
    assert caplog.records[0].getMessage().startswith(f"{tmp_path}: the times of 1 utterances")
    assert re.search(message, caplog.text)


@pytest.mark.parametrize(
    ("tiers", "message"),
    [
        ({"sentences": WORDS}, "has the tiers sentences; expected `phones` or `words`"),
        ({"A_-_words": WORDS, "B_-_words": WORDS}, "has several tiers of words"),
    ],
)
def test_other_tiers_are_refused(tmp_path, tiers, message):
    write_grid(tmp_path / "a.TextGrid", **tiers)
    with pytest.raises(ValueError, match=rf"a\.TextGrid {message}"):
        read_textgrid(tmp_path / "a.TextGrid")


def test_a_tier_of_points_is_refused(tmp_path):
    grid = textgrid.Textgrid()
    grid.addTier(textgrid.PointTier("phones", [(0.1, "AH")], 0, 1))
    grid.save(str(tmp_path / "a.TextGrid"), format="long_textgrid", includeBlankSpaces=True)
    with pytest.raises(ValueError, match=r"a\.TextGrid: phones is a tier of points"):
        read_textgrid(tmp_path / "a.TextGrid")


def test_the_first_source_that_knows_an_utterance_gives_both(write, tmp_path):
    for name in "abcd":
        write(f"{name}.wav")
        (tmp_path / f"{name}.phn").write_text("0 16000 timit\n")
        (tmp_path / f"{name}.wrd").write_text("0 16000 timit\n")
    for name in "abc":
        write_grid(tmp_path / f"{name}.TextGrid", phones=[(0, 1, "grid")], words=[(0, 1, "grid")])
    lines = [{"file_name": f"{name}.wav", "phones": ["line"], "phone_starts": [0],
              "phone_ends": [1], "score": -0.5} for name in "ab"]  # fmt: skip
    (tmp_path / "alignments.jsonl").write_text("\n".join(map(json.dumps, lines)))
    cells = [[{"start": 0, "end": 1, "label": "cell"}], [], None, None]
    rows = [{"file_name": f"{name}.wav", "segments": cell}
            for name, cell in zip("abcd", cells, strict=True)]  # fmt: skip
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    corpus = load_corpus(tmp_path)
    assert corpus["alignment"][:] == ["0.000:cell", "0.000:line", "0.000:grid", "0.000:timit"]
    assert corpus["word_alignment"][:] == ["", "", "0.000:grid", "0.000:timit"]
    assert corpus["alignment_score"][:] == [None, -0.5, None, None]


CELL = [{"start": 0.1, "end": 0.25, "label": "AH0"}, {"start": 0.25, "end": 0.25, "label": "X"},
        {"start": 0.3, "end": 0.5, "label": "T"}]  # fmt: skip
WORD_CELL = [{"start": 0.1, "end": 0.5, "label": "AT"}]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet", "list", "columns"])
def test_segments_of_any_table(write, tmp_path, kind):
    path = write("a.wav")
    row = {"file_name": "a.wav", "segments": CELL, "word_segments": WORD_CELL}
    source = tmp_path
    if kind == "csv":
        frame = {name: [cell if name == "file_name" else json.dumps(cell)]
                 for name, cell in row.items()}  # fmt: skip
        datasets.Dataset.from_dict(frame).to_pandas().to_csv(tmp_path / "metadata.csv", index=False)
    elif kind == "jsonl":
        (tmp_path / "metadata.jsonl").write_text(json.dumps(row))
    elif kind == "parquet":
        datasets.Dataset.from_list([row]).to_parquet(tmp_path / "metadata.parquet")
    elif kind == "list":
        source = [{"audio": str(path), **row}]
    else:
        cells = {name: [{key: [one[key] for one in row[name]] for key in ("start", "end", "label")}]
                 for name in ("segments", "word_segments")}  # fmt: skip
        source = datasets.Dataset.from_dict({"audio": [str(path)], **cells})
    assert list(times(load_corpus(source)).values()) == [BOTH]


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ([{"start": 0.1, "end": None, "label": "T"}], "TypeError"),
        ('[{"start": 0.1, "end": 0.3, "label": 7}]', "the label is 7, no text"),
        ('[{"start": "soon", "end": 0.3, "label": "T"}]', "could not convert"),
        ('[{"start": 0.1, "end": 0.3}]', "KeyError: 'label'"),
        ("[1", "JSONDecodeError"),
        ("7", "no list but int"),
    ],
)
def test_a_damaged_cell_is_named(write, tmp_path, cell, message):
    write("a.wav")
    write("b.wav")
    good = CELL if isinstance(cell, list) else json.dumps(CELL)
    rows = [{"file_name": "a.wav", "segments": good}, {"file_name": "b.wav", "segments": cell}]
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(ValueError, match=f"row 1: the column `segments` holds .*{message}"):
        load_corpus(tmp_path)


@pytest.mark.parametrize("cell", [[{"start": 0, "end": 1, "text": "hello"}], "intro", 3])
def test_other_columns_of_that_name_are_not_read(write, tmp_path, caplog, cell):
    write("a.wav")
    row = {"file_name": "a.wav", "segments": cell}
    (tmp_path / "metadata.jsonl").write_text(json.dumps(row))
    corpus = load_corpus(tmp_path)
    assert "alignment" not in corpus.column_names
    assert "the column `segments` is not read as times" in caplog.text


def test_parts_of_a_recording_get_their_part(write, tmp_path):
    write("a.wav", 2.0)
    write_grid(tmp_path / "a.TextGrid", phones=[(0, 0.8, "A"), (0.8, 1.5, "B"), (1.5, 2.0, "C")],
               words=[(0, 1.5, "AB"), (1.5, 2.0, "")])  # fmt: skip
    table = "file_name,id,start,stop\na.wav,x,0.0,1.0\na.wav,y,1.0,1.75\n"
    (tmp_path / "metadata.csv").write_text(table)
    assert times(load_corpus(tmp_path)) == {
        "x": {"alignment": "0.000:A 0.800:B", "word_alignment": "0.000:AB"},
        "y": {"alignment": "0.000:B 0.500:C", "word_alignment": "0.000:AB 0.500:SIL"},
    }


def test_only_the_rows_of_the_split_are_read(write, tmp_path):
    write("train/a.wav")
    write("test/b.wav")
    write_grid(tmp_path / "test" / "b.TextGrid", phones=PHONES, words=WORDS)
    (tmp_path / "train" / "a.TextGrid").write_text("damaged")
    corpus = load_corpus(tmp_path, "test")
    assert times(corpus) == {"test/b": BOTH}
