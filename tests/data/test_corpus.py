import logging

import datasets
import numpy as np
import pandas
import pytest

from hf_rspin.audio import AudioError, read_audio
from hf_rspin.data import SkippedFiles, load_corpus


def test_folder_of_any_audio(write, tmp_path):
    write("a.wav", 1.0)
    write("deep/b.flac", 0.5, rate=8000)
    write("c.ogg", samples=np.random.default_rng(1).uniform(-0.1, 0.1, (44_100, 2)), rate=44_100)
    (tmp_path / "notes.txt").write_text("no audio")
    corpus = load_corpus(tmp_path)
    assert corpus["id"][:] == ["a", "c", "deep/b"]
    assert corpus["duration"][:] == pytest.approx([1.0, 1.0, 0.5], abs=0.01)
    assert read_audio(corpus[2]["audio"]).shape == (8000,)


def test_same_stem_keeps_ids_apart(write, tmp_path):
    write("a.wav")
    write("a.flac")
    assert sorted(load_corpus(tmp_path)["id"]) == ["a.flac", "a.wav"]


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl"])
def test_tables_keep_their_columns(write, tmp_path, kind):
    write("clips/x.wav")
    write("clips/y.wav", 2.0)
    table = datasets.Dataset.from_dict(
        {
            "file_name": ["clips/x.wav", "clips/y.wav"],
            "id": ["0001", "0002"],
            "split": ["train", "test"],
            "text": ["null", "two"],
            "speaker_id": [7, 8],
        }
    ).to_pandas()
    path = tmp_path / f"metadata.{kind}"
    if kind == "csv":
        table.to_csv(path, index=False)
    elif kind == "parquet":
        table.to_parquet(path)
    else:
        table.to_json(path, orient="records", lines=True)
    for source in (tmp_path, path):
        corpus = load_corpus(source)
        assert corpus["id"][:] == ["0001", "0002"]
        assert corpus["text"][:] == ["null", "two"]
        assert corpus["speaker"][:] == ["7", "8"]
        assert len(read_audio(corpus[1]["audio"])) == 32_000
    assert load_corpus(tmp_path, "test")["id"][:] == ["0002"]
    with pytest.raises(ValueError, match="no row with split 'dev'; it has test, train"):
        load_corpus(tmp_path, "dev")


def test_parquet_with_audio_bytes_as_on_the_hub(write, tmp_path):
    data = write("a.flac", 1.5).read_bytes()
    rows = datasets.Dataset.from_dict({"audio": [{"bytes": data, "path": "a.flac"}], "id": ["a"]})
    (tmp_path / "hub").mkdir()
    rows.cast_column("audio", datasets.Audio(decode=False)).to_parquet(
        tmp_path / "hub" / "0.parquet"
    )
    corpus = load_corpus(tmp_path / "hub")
    assert corpus["duration"][:] == pytest.approx([1.5])
    assert len(read_audio(corpus[0]["audio"])) == 24_000


def damaged(write, tmp_path):
    write("good.wav")
    (tmp_path / "corrupt.wav").write_bytes(b"RIFF not audio")
    (tmp_path / "empty.wav").write_bytes(b"")
    write("short.wav", 0.01)
    write("silent.wav", samples=np.zeros(16_000))


def test_bad_files_are_skipped_with_one_warning_each_and_counted(write, tmp_path, caplog):
    damaged(write, tmp_path)
    skipped = SkippedFiles()
    with caplog.at_level(logging.WARNING):
        corpus = load_corpus(tmp_path, decode=True, skipped=skipped)
    assert corpus["id"][:] == ["good"]
    assert len(skipped) == 4
    for name in ("corrupt", "empty", "short", "silent"):
        assert sum(f"{name}.wav" in record.message for record in caplog.records) == 1


def test_strict_stops_at_the_first(write, tmp_path):
    damaged(write, tmp_path)
    with pytest.raises(AudioError, match="corrupt.wav"):
        load_corpus(tmp_path, strict=True)


def test_a_row_whose_file_is_gone_is_skipped_even_with_known_duration(write, tmp_path, caplog):
    write("here.wav")
    text = "file_name,duration\nhere.wav,1.0\ngone.wav,1.0\n"
    (tmp_path / "metadata.csv").write_text(text)
    assert load_corpus(tmp_path)["id"][:] == ["here"]
    assert "gone.wav could not be read as audio (there is no such file)" in caplog.text


@pytest.mark.parametrize(
    ("files", "match"),
    [
        ({}, "holds no audio"),
        ({"metadata.csv": "name\nx\n"}, "expected `file_name`"),
        ({"metadata.csv": "file_name,text\n"}, "holds no row"),
        ({"metadata.csv": "file_name,duration\nx.wav,3.0s\n"}, "`duration` of .* seconds as num"),
        ({"metadata.jsonl": '{"audio": 7}\n'}, "`audio` holds .*int64.*expected paths"),
        ({"0.parquet": "nothing"}, "could not be read as a table"),
        ({"a.wav": "nothing"}, "None of the 1 files"),
    ],
)
def test_unusable_sources_say_why(tmp_path, files, match):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=match):
        load_corpus(tmp_path)


def test_a_column_of_paths_may_be_called_audio(write, tmp_path, caplog):
    write("clips/x.wav", 1.5)
    text = "audio,text,speaker\nclips/x.wav,one,\n,two,s\nclips/gone.wav,three,s\n"
    (tmp_path / "metadata.csv").write_text(text)
    corpus = load_corpus(tmp_path)
    assert corpus["text"][:] == ["one"]
    assert len(read_audio(corpus[0]["audio"])) == 24_000
    assert f"row 1 of {tmp_path} could not be read as audio (no file is named)" in caplog.text
    assert "gone.wav could not be read as audio (there is no such file)" in caplog.text


def test_empty_cells_of_audio_are_skipped(write, tmp_path):
    hub = hub_like(write, tmp_path, [("a.flac", True)])
    frame = pandas.read_parquet(hub / "0.parquet")
    pandas.DataFrame({"audio": [None, *frame["audio"]]}).to_parquet(hub / "0.parquet")
    skipped = SkippedFiles()
    assert load_corpus(hub, skipped=skipped)["id"][:] == ["a"]
    assert list(skipped.reasons) == [f"row 0 of {hub}"]


@pytest.mark.filterwarnings("ignore::pandas.errors.ParserWarning")
def test_commas_at_the_end_of_every_row_move_no_column(write, tmp_path):
    write("a.wav")
    (tmp_path / "metadata.csv").write_text("file_name,text\na.wav,one,\n")
    assert load_corpus(tmp_path)["text"][:] == ["one"]


def test_what_is_neither_here_nor_on_the_hub_is_said(tmp_path):
    with pytest.raises(ValueError, match="owner/name is no folder or file here and could not be"):
        load_corpus("owner/name", "train")


def test_repeated_ids_are_refused(write, tmp_path):
    write("a.wav")
    (tmp_path / "metadata.csv").write_text("file_name,id\na.wav,x\na.wav,x\n")
    with pytest.raises(ValueError, match="'x'"):
        load_corpus(tmp_path)


def test_a_path_that_does_not_exist_is_said(tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        load_corpus(tmp_path / "nowhere" / "at" / "all")


def hub_like(write, tmp_path, names, **columns):
    """Write a parquet table with audio inside, as the Hub has it."""
    data = write("source.flac", 1.0).read_bytes()
    cells = [{"bytes": data if good else b"bad", "path": name} for name, good in names]
    rows = datasets.Dataset.from_dict({"audio": cells, **columns})
    (tmp_path / "hub").mkdir()
    rows.cast_column("audio", datasets.Audio(decode=False)).to_parquet(
        tmp_path / "hub" / "0.parquet"
    )
    return tmp_path / "hub"


def test_a_split_of_a_table_with_audio_inside_copies_no_audio(write, tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.Dataset, "flatten_indices", None)  # would write it all again
    names = [("a.flac", True), ("b.flac", True), ("c.flac", False), ("d.flac", True)]
    split = ["train", "test", "train", "train"]
    hub = hub_like(write, tmp_path, names, split=split, speaker_id=[1, 2, 3, 4])
    corpus = load_corpus(hub, "train")
    assert corpus["id"][:] == ["a", "d"]
    assert corpus["speaker"][:] == ["1", "4"]
    assert corpus["duration"][:] == pytest.approx([1.0, 1.0])
    assert len(read_audio(corpus[1]["audio"])) == 16_000


def test_audio_without_a_name_is_called_by_its_row(write, tmp_path):
    hub = hub_like(write, tmp_path, [(None, True), (None, False), (None, False), (None, True)])
    skipped = SkippedFiles()
    assert load_corpus(hub, skipped=skipped)["id"][:] == ["row_0", "row_3"]
    assert list(skipped.reasons) == [f"row 1 of {hub}", f"row 2 of {hub}"]
    assert all("<audio bytes>" not in reason for reason in skipped.reasons.values())
    assert skipped.summary() == f"2 skipped: row 1 of {hub}, row 2 of {hub}."


def test_lines_of_json_are_not_guessed_at(write, tmp_path):
    for name in ("001.wav", "2020-01-02.wav"):
        write(name)
    lines = [
        '{"file_name": "001.wav", "speaker": "007", "text": "2020-01-02", "date": "2020-01-02"}',
        '{"file_name": "2020-01-02.wav", "speaker": "010", "text": "12", "date": "1"}',
    ]
    (tmp_path / "metadata.jsonl").write_text("\n".join(lines))
    corpus = load_corpus(tmp_path)
    assert corpus["id"][:] == ["001", "2020-01-02"]
    assert corpus["speaker"][:] == ["007", "010"]
    assert corpus["text"][:] == ["2020-01-02", "12"]
    assert corpus["date"][:] == ["2020-01-02", "1"]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_splits_may_be_numbers_or_empty(write, tmp_path, kind):
    for name in "abc":
        write(f"{name}.wav")
    names, splits = ["a.wav", "b.wav", "c.wav"], [1, 2, None]
    table = datasets.Dataset.from_dict({"file_name": names, "split": splits}).to_pandas()
    path = tmp_path / f"metadata.{kind}"
    if kind == "csv":
        path.write_text("file_name,split\na.wav,1\nb.wav,2\nc.wav,\n")
    elif kind == "jsonl":
        table.to_json(path, orient="records", lines=True)
    else:
        table.to_parquet(path)
    assert load_corpus(tmp_path, "2")["id"][:] == ["b"]
    with pytest.raises(ValueError, match="no row with split 'dev'; it has 1, 2, empty cells"):
        load_corpus(tmp_path, "dev")
