"""What users have: folders, tables, lists and data sets of many kinds, good and bad."""

import json
import logging
import os
import subprocess
import sys

import datasets
import numpy as np
import pytest
import torch

from hf_rspin.audio import AudioError, read_audio
from hf_rspin.data import SkippedFiles, load_corpus
from hf_rspin.data.folders import list_folder


def table(tmp_path, name, text, encoding="utf-8"):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text(text, encoding=encoding, newline="")
    return tmp_path / name


# Tables


@pytest.mark.parametrize("line", [2, 3])
@pytest.mark.parametrize(
    "row", ["0.wav,yes, it is,anna", "0.wav,yes,anna,", "0.wav,yes", "0.wav", '0.wav,"a, b",c,d']
)
def test_rows_whose_cells_moved_are_refused_wherever_they_are(write, tmp_path, line, row):
    for name in "01":
        write(f"{name}.wav")
    rows = ["1.wav,no,bob", row] if line == 3 else [row, "1.wav,no,bob"]
    table(tmp_path, "metadata.csv", "file_name,text,speaker\n" + "\n".join(rows) + "\n")
    if row == "0.wav,yes,anna,":  # an empty cell after the last column moves nothing
        assert sorted(load_corpus(tmp_path)["speaker"][:]) == ["anna", "bob"]
        return
    with pytest.raises(ValueError, match=rf"metadata\.csv, line {line} has \d cells .*expected 3"):
        load_corpus(tmp_path)


@pytest.mark.parametrize("rows", ['"a.wav,b\nb.wav,c\n', 'a.wav,"b\nb.wav,c\n'])
def test_a_quote_that_is_never_closed_swallows_no_row(write, tmp_path, rows):
    table(tmp_path, "metadata.csv", "file_name,text\n" + rows)
    with pytest.raises(ValueError, match=r"metadata\.csv could not be read as a table"):
        load_corpus(tmp_path)


def test_a_quoted_cell_may_hold_commas_lines_and_quotes(write, tmp_path):
    for name in "ab":
        write(f"{name}.wav")
    text = 'file_name,text\r\na.wav,"yes, ""it""\r\nis"\r\n\r\nb.wav,no\r\n'
    table(tmp_path, "metadata.csv", text, "utf-8-sig")
    corpus = load_corpus(tmp_path)
    assert [" ".join(cell.split()) for cell in corpus["text"]] == ['yes, "it" is', "no"]
    assert corpus["id"][:] == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "delimiter"),
    [("Metadata.CSV", ","), ("metadata.csv", "\t"), ("metadata.csv", ";"), ("METADATA.TSV", "\t")],
)
def test_delimiters_and_cases_are_recognised(write, tmp_path, name, delimiter):
    write("a.wav")
    write("b.wav")
    rows = [("file_name", "text", "speaker"), ("a.wav", "one", "007"), ("b.wav", "two", "008")]
    table(tmp_path, name, "\n".join(delimiter.join(row) for row in rows))
    corpus = load_corpus(tmp_path)
    assert corpus["text"][:] == ["one", "two"]
    assert corpus["speaker"][:] == ["007", "008"]


def test_json_lines_in_any_case_and_json_lists(write, tmp_path):
    write("a.wav")
    rows = [{"file_name": "a.wav", "text": "one"}]
    for name, text in (("Metadata.JSONL", json.dumps(rows[0])), ("x.json", json.dumps(rows))):
        table(tmp_path, name, text)
    assert load_corpus(tmp_path)["text"][:] == ["one"]
    assert load_corpus(tmp_path / "x.json")["text"][:] == ["one"]


def test_quotes_in_a_table_with_tabs_belong_to_the_text(write, tmp_path):
    for name in "abcd":
        write(f"clips/{name}.wav")
    rows = ['a.wav\t"Well" he said', 'b.wav\tsay "yes"', 'c.wav\t"say ""no"""', "d.wav\tnull"]
    path = table(tmp_path, "validated.tsv", "path\tsentence\n" + "\n".join(rows) + "\n")
    corpus = load_corpus(path, audio_column="path", text_column="sentence")
    assert corpus["text"][:] == ['"Well" he said', 'say "yes"', 'say "no"', "null"]
    assert corpus["id"][:] == ["a", "b", "c", "d"]
    assert len(read_audio(corpus[0]["audio"])) == 16_000  # found in `clips`


def test_columns_of_other_names(write, tmp_path):
    write("a.wav")
    header = "wav_path,transcription,who,text,speaker\n"
    table(tmp_path, "metadata.csv", header + "a.wav,right,007,wrong,wrong\n")
    names = {"audio_column": "wav_path", "text_column": "transcription", "speaker_column": "who"}
    corpus = load_corpus(tmp_path, **names)
    assert (corpus["text"][0], corpus["speaker"][0], corpus["id"][0]) == ("right", "007", "a")
    with pytest.raises(ValueError, match="text_column is 'words', but the columns are wav_path"):
        load_corpus(tmp_path, **{**names, "text_column": "words"})
    with pytest.raises(ValueError, match="one column is named for several of audio, text, speaker"):
        load_corpus(tmp_path, **{**names, "text_column": "who"})
    (tmp_path / "metadata.csv").unlink()
    with pytest.raises(ValueError, match="has no table, so there is no column who"):
        load_corpus(tmp_path, speaker_column="who")


def test_parts_of_files_by_start_and_stop(write, tmp_path):
    whole = read_audio(write("a.wav", 5.0))
    places = "a.wav,0.5,2\na.wav,2,3.25\na.wav,,\na.wav,4,"
    table(tmp_path, "metadata.csv", "file_name,start,stop\n" + places)
    corpus = load_corpus(tmp_path)
    assert corpus["id"][:] == ["a_0.50-2.00", "a_2.00-3.25", "a", "a_4.00-end"]
    assert corpus["duration"][:] == [1.5, 1.25, 5.0, 1.0]
    np.testing.assert_array_equal(read_audio(corpus[1]["audio"]), whole[32_000:52_000])


def test_parts_that_cannot_be_are_skipped(write, tmp_path):
    write("a.wav", 5.0)
    places = "a.wav,-1,2,x\na.wav,3,2,y\na.wav,1,1,z\na.wav,1,inf,ok\n"
    table(tmp_path, "metadata.csv", "file_name,start,stop,id\n" + places)
    skipped = SkippedFiles()
    corpus = load_corpus(tmp_path, skipped=skipped)
    assert corpus["id"][:] == ["ok"] and corpus["duration"][:] == [4.0]
    assert len(read_audio(corpus[0]["audio"])) == 64_000
    assert "from -1 s to 2.0 s; expected a start of 0 or more" in [*skipped.reasons.values()][0]


# Rows


def test_durations_that_lie_are_replaced_and_told(write, tmp_path, caplog):
    for number in range(4):
        write(f"{number}.wav", 2.0 + number)
    text = "file_name,duration\n0.wav,2.01\n1.wav,0.5\n2.wav,\n3.wav,96\n"
    table(tmp_path, "metadata.csv", text)
    corpus = load_corpus(tmp_path)
    assert corpus["duration"][:] == [2.01, 3.0, 4.0, 5.0]
    assert caplog.text.count("`duration` is wrong in 2 of 4 rows, such as row 1: 0.5") == 1
    table(tmp_path, "metadata.csv", "file_name,duration\n0.wav,2000\n1.wav,3000\n")
    assert load_corpus(tmp_path)["duration"][:] == [2.0, 3.0]
    assert "it seems to hold milliseconds, expected seconds" in caplog.text


@pytest.mark.parametrize("column", ["speaker", "speaker_id"])
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_unknown_speakers_are_nobody(write, tmp_path, column, kind):
    for name in "abc":
        write(f"{name}.wav")
    if kind == "csv":
        table(tmp_path, "metadata.csv", f"file_name,{column}\na.wav,7\nb.wav,\nc.wav,None\n")
        expected = ["7", None, "None"]  # text in a table is what it says
    else:
        rows = [{"file_name": "a.wav", column: 7}, {"file_name": "b.wav"}, {"file_name": "c.wav"}]
        table(tmp_path, "metadata.jsonl", "\n".join(map(json.dumps, rows)))
        expected = ["7", None, None]
    assert load_corpus(tmp_path)["speaker"][:] == expected


def test_an_empty_id_is_made_of_the_path(write, tmp_path):
    for name in "abc":
        write(f"{name}.wav")
    table(tmp_path, "metadata.csv", "file_name,id\na.wav,x\nb.wav,\nc.wav, \n")
    assert load_corpus(tmp_path)["id"][:] == ["x", "b", "c"]
    table(tmp_path, "metadata.csv", "file_name,id\na.wav,b\nb.wav,\n")
    with pytest.raises(ValueError, match="'b'"):
        load_corpus(tmp_path)


def test_files_of_one_stem_in_two_splits_are_two(write, tmp_path):
    write("a.flac")
    write("a.wav", seed=1)
    table(tmp_path, "metadata.csv", "file_name,split\na.flac,train\na.wav,test\n")
    ids = [load_corpus(tmp_path, split)["id"][0] for split in ("train", "test")]
    assert ids == ["a.flac", "a.wav"]


# Folders


def test_tables_of_sub_folders_are_one_corpus_with_splits(write, tmp_path):
    for name in ("train/a", "train/b", "test/a", "test/left_out"):
        write(f"{name}.wav")
    table(tmp_path, "train/metadata.csv", "file_name,text\na.wav,one\nb.wav,two\n")
    table(tmp_path, "test/Metadata.tsv", "file_name\ttext\na.wav\tthree\n")
    corpus = load_corpus(tmp_path)
    assert corpus["id"][:] == ["test/a", "train/a", "train/b"]
    assert corpus["text"][:] == ["three", "one", "two"]
    assert load_corpus(tmp_path, "train")["id"][:] == ["train/a", "train/b"]
    assert load_corpus(tmp_path, "test")["text"][:] == ["three"]


def test_audio_in_no_folder_with_a_table_is_told(write, tmp_path, caplog):
    for name in ("train/a", "test/b", "c"):
        write(f"{name}.wav")
    table(tmp_path, "train/metadata.csv", "file_name,text\na.wav,one\n")
    skipped = SkippedFiles()
    assert load_corpus(tmp_path, skipped=skipped)["id"][:] == ["train/a"]
    assert sorted(os.path.basename(name) for name in skipped.reasons) == ["b.wav", "c.wav"]
    assert "2 recordings lie in no folder with a table and are left out, such as" in caplog.text


def test_parquet_files_may_be_splits(write, tmp_path):
    data = write("a.wav").read_bytes()
    (tmp_path / "data").mkdir()
    for name in ("test-00000-of-00001", "train-00000-of-00002", "train-00001-of-00002"):
        cell = {"bytes": data, "path": f"{name}.wav"}
        rows = datasets.Dataset.from_dict({"audio": [cell], "id": [name]})
        rows.to_parquet(str(tmp_path / "data" / f"{name}.parquet"))
    found = load_corpus(tmp_path, "train")["id"][:]
    assert found == ["train-00000-of-00002", "train-00001-of-00002"]
    assert load_corpus(tmp_path, "test")["id"][:] == ["test-00000-of-00001"]
    assert len(load_corpus(tmp_path)) == 3


def test_sub_folders_of_audio_may_be_splits(write, tmp_path):
    for name in ("train/a", "dev-clean/b", "c"):
        write(f"{name}.wav")
    assert load_corpus(tmp_path, "train")["id"][:] == ["train/a"]
    assert load_corpus(tmp_path, "dev-clean")["id"][:] == ["dev-clean/b"]
    assert len(load_corpus(tmp_path)) == 3


def test_a_table_of_another_name_is_told(write, tmp_path, caplog):
    write("a.wav")
    table(tmp_path, "labels.csv", "file_name,text\na.wav,one\n")
    assert "text" not in load_corpus(tmp_path).column_names
    assert "name " + str(tmp_path / "labels.csv") + " as the corpus" in caplog.text


def test_links_are_followed_once_and_hidden_files_are_not_read(write, tmp_path):
    corpus = tmp_path / "corpus"
    for name in ("corpus/a", "corpus/deep/b", "elsewhere/c", "corpus/.ipynb_checkpoints/d"):
        write(f"{name}.wav")
    (corpus / "._a.wav").write_bytes(b"what another system remembers")
    (corpus / ".metadata.csv").write_text("file_name\nx.wav\n")
    (corpus / "linked").symlink_to(tmp_path / "elsewhere")
    (corpus / "deep" / "loop").symlink_to(corpus)
    (corpus / "again").symlink_to(corpus / "deep")
    (corpus / "e.wav").symlink_to(tmp_path / "elsewhere" / "c.wav")
    assert load_corpus(corpus)["id"][:] == ["a", "deep/b", "e", "linked/c"]


def test_the_order_is_that_of_sorted_paths(write, tmp_path):
    names = ["B.wav", "a.wav", "a/z.wav", "a-b/c.wav", "A/x.wav", "a0.wav", "ab/c.flac"]
    for name in names:
        write(name)
    found = [file.relative_to(tmp_path) for file in list_folder(tmp_path).audio]
    assert found == sorted(file.relative_to(tmp_path) for file in tmp_path.rglob("*.*"))


def test_what_adapt_made_inside_of_a_folder_is_no_recording_of_it(write, tmp_path, caplog):
    write("a.wav")
    made = tmp_path / "out"
    write("out/corpus/a-0.wav")
    write("out/b.wav")  # of the user
    (made / "corpus" / "metadata.csv").write_text("file_name\na-0.wav\n")
    for name in ("plan.json", "provenance.json"):
        (made / name).write_text("{}")
    assert load_corpus(tmp_path)["id"][:] == ["a", "out/b"]
    assert "What `hf-rspin adapt` made in" in caplog.text
    assert len(load_corpus(made / "corpus")) == 1  # asked for by name


def test_formats_that_cannot_be_read_are_counted_with_the_command(write, tmp_path, caplog):
    write("a.wav")
    for name in ("x.m4a", "y.m4a", "z.webm"):
        (tmp_path / name).write_bytes(b"...")
    skipped = SkippedFiles()
    assert len(load_corpus(tmp_path, skipped=skipped)) == 1
    assert len(skipped) == 3
    said = "3 files are of a format that cannot be read here (2 .m4a, 1 .webm)"
    assert caplog.text.count(said) == 1
    assert "ffmpeg -i" in caplog.text
    with pytest.raises(AudioError, match=r"x\.m4a cannot be read: convert it with ffmpeg"):
        load_corpus(tmp_path, strict=True)
    (tmp_path / "a.wav").unlink()
    with pytest.raises(ValueError, match="holds no audio .* 3 files .* ffmpeg -i"):
        load_corpus(tmp_path)


def test_names_that_no_table_can_hold_leave_out_one_file(write, tmp_path, caplog):
    write("a.wav")
    data = (tmp_path / "a.wav").read_bytes()
    with open(os.fsencode(tmp_path) + b"/caf\xe9.wav", "wb") as file:
        file.write(data)
    skipped = SkippedFiles()
    assert load_corpus(tmp_path, skipped=skipped)["id"][:] == ["a"]
    assert [name.rsplit("/", 1)[1] for name in skipped.reasons] == ["caf\\xe9.wav"]
    table(tmp_path, "metadata.csv", f"file_name\na.wav\n{'x' * 400}.wav\n")
    assert load_corpus(tmp_path)["id"][:] == ["a"]
    assert "File name too long" in caplog.text


def test_headers_that_lie_leave_out_what_cannot_be_read(write, tmp_path, caplog):
    write("good.wav", 1.0)
    flac = write("streamed.flac", 2.0).read_bytes()
    unknown = bytes([flac[21] & 0xF0, 0, 0, 0, 0])  # samples
    (tmp_path / "streamed.flac").write_bytes(flac[:21] + unknown + flac[26:])
    wav = (tmp_path / "good.wav").read_bytes()
    (tmp_path / "hertz.wav").write_bytes(wav[:24] + (1).to_bytes(4, "little") + wav[28:])
    corpus = load_corpus(tmp_path)
    assert corpus["id"][:] == ["good", "streamed"]
    assert corpus["duration"][:] == [1.0, 2.0]
    assert caplog.text.count("hertz.wav") == 1


# Names that are wrong


def test_a_typo_says_at_once_what_is_there(tmp_path, monkeypatch):
    (tmp_path / "data" / "speech").mkdir(parents=True)
    (tmp_path / "data" / "noise").mkdir()
    monkeypatch.chdir(tmp_path)
    for split in (None, "train"):
        with pytest.raises(ValueError, match="data/speach does not.*data holds speech, noise"):
            load_corpus("data/speach", split)
    with pytest.raises(ValueError, match="speach does not exist.* holds data"):
        load_corpus("speach")
    with pytest.raises(ValueError, match="data holds noise, speech"):
        load_corpus("data/x/y/z", "train")


def test_a_typo_asks_no_hub(tmp_path):
    (tmp_path / "data" / "speech").mkdir(parents=True)
    code = (
        "import time\nfrom hf_rspin.data import load_corpus\nstart = time.monotonic()\n"
        "try:\n    load_corpus('data/speach', 'train')\n"
        "finally:\n    print(time.monotonic() - start)"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "0", "HF_DATASETS_OFFLINE": "0",
                   "HF_ENDPOINT": "http://127.0.0.1:9"}  # fmt: skip
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment,
                         capture_output=True, text=True)  # fmt: skip
    assert "data holds speech" in run.stderr.splitlines()[-1]
    assert float(run.stdout.split()[-1]) < 20  # a question to the Hub is repeated for 25 s
    assert "retry" not in run.stderr.lower()


# What is in memory


def test_a_data_set_in_memory(write, tmp_path):
    path = str(write("a.wav", 1.5))
    rows = {"audio": [path], "sentence": ["one"], "speaker_id": [7]}
    decoding = datasets.Dataset.from_dict(rows).cast_column("audio", datasets.Audio(16_000))
    for dataset in (datasets.Dataset.from_dict(rows), decoding):
        corpus = load_corpus(dataset, text_column="sentence")
        assert (corpus["text"][0], corpus["speaker"][0], corpus["duration"][0]) == ("one", "7", 1.5)
        assert len(read_audio(corpus[0]["audio"])) == 24_000
    floats = {"audio": [[0.1, -0.1] * 8_000, [0.2, -0.2] * 4_000]}
    corpus = load_corpus(datasets.Dataset.from_dict(floats))
    assert corpus["duration"][:] == [1.0, 0.5]
    assert corpus["id"][:] == ["row_0", "row_1"]


def test_what_save_to_disk_wrote(write, tmp_path):
    write("a.wav"), write("b.wav", 2.0)
    names = [str(tmp_path / "a.wav"), str(tmp_path / "b.wav")]
    rows = datasets.Dataset.from_dict({"audio": names, "split": ["train", "test"]})
    rows.save_to_disk(tmp_path / "one")
    assert load_corpus(tmp_path / "one", "test")["duration"][:] == [2.0]
    parts = datasets.DatasetDict(train=rows.select([0]), test=rows.select([1]))
    parts.save_to_disk(tmp_path / "two")
    for source in (tmp_path / "two", parts):
        assert load_corpus(source, "test")["duration"][:] == [2.0]
        with pytest.raises(ValueError, match="no split 'dev'; it has train, test"):
            load_corpus(source, "dev")


def test_lists_of_recordings(write, tmp_path):
    path, tone = write("deep/a.wav"), 0.1 * np.sin(np.arange(8_000, dtype="f4"))
    corpus = load_corpus([path, str(write("b.flac", 2.0)), path.read_bytes(), tone,
                          torch.from_numpy(tone), tone.tolist()])  # fmt: skip
    assert corpus["id"][:] == ["deep/a", "b", "row_2", "row_3", "row_4", "row_5"]
    assert corpus["duration"][:] == [1.0, 2.0, 1.0, 0.5, 0.5, 0.5]
    for row in (3, 4, 5):
        np.testing.assert_array_equal(read_audio(corpus[row]["audio"]), tone)
    rows = [
        {"audio": tone, "text": "one", "speaker": "a"},
        {"audio": path, "text": "two", "id": "two"},
        {"array": tone, "sampling_rate": 8_000, "text": "three"},
        {"path": str(path), "bytes": None, "text": "four", "id": "four"},
        {"file_name": str(path), "text": "five", "id": "five"},
    ]
    corpus = load_corpus(rows)
    assert corpus["text"][:] == ["one", "two", "three", "four", "five"]
    assert corpus["duration"][:] == [0.5, 1.0, 1.0, 1.0, 1.0]
    assert corpus["speaker"][:] == ["a", None, None, None, None]
    with pytest.raises(ValueError, match="item 0 has the keys sound"):
        load_corpus([{"sound": path}])
    with pytest.raises(ValueError, match="item 1 is int"):
        load_corpus([path, 7])
    with pytest.raises(ValueError, match="holds no row"):
        load_corpus([])


def test_several_corpora_are_one(write, tmp_path):
    write("x/a.wav"), write("x/b.wav"), write("y/c.wav")
    table(tmp_path, "x/metadata.csv", "file_name,text\na.wav,one\nb.wav,two\n")
    corpus = load_corpus([tmp_path / "x", str(tmp_path / "y")])
    assert corpus["id"][:] == ["a", "b", "c"]
    assert corpus["text"][:] == ["one", "two", None]
    write("y/a.wav", 2.0)
    corpus = load_corpus([tmp_path / "x", tmp_path / "y"])
    assert corpus["id"][:] == ["x/a", "x/b", "y/a", "y/c"]
    rows = {"audio": [str(tmp_path / "x/a.wav")], "id": ["a"], "text": [1]}
    alike = load_corpus([tmp_path / "x", datasets.Dataset.from_dict(rows)])
    assert alike["text"][:] == ["one", "two", "1"]
    assert alike["id"][:] == ["corpus0/a", "corpus0/b", "corpus1/a"]


def test_nothing_is_said_of_what_is_well(write, tmp_path, caplog):
    write("train/a.wav")
    table(tmp_path, "metadata.csv", "file_name,duration,speaker\ntrain/a.wav,1.0,anna\n")
    with caplog.at_level(logging.WARNING):
        load_corpus(tmp_path)
    assert caplog.records == []


def test_a_description_of_the_corpus_is_no_table(write, tmp_path):
    write("a.wav")
    table(tmp_path, "metadata.json", '{"licence": "CC BY 4.0"}')
    table(tmp_path, "state.json", "{}")
    assert load_corpus(tmp_path)["id"][:] == ["a"]


@pytest.mark.parametrize("source", [None, 5])
def test_what_is_no_corpus_is_said(source):
    with pytest.raises(ValueError, match=f"the corpus is {source}; expected a folder, a table"):
        load_corpus(source)
