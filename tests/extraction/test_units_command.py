"""`hf-rspin units`: from a folder to files, read as their README says, stopped and continued."""

import json
import os
import shutil

import datasets
import numpy as np
import pandas
import pytest

from hf_rspin.audio import read_audio
from hf_rspin.commands.units import main
from hf_rspin.extraction.command import boundaries
from hf_rspin.units import UnitTokenizer

FILES = ["--file_hours", "0.0005"]  # 1.8 s


def units(*arguments):
    main([*map(str, arguments)])


def read(folder):
    """Run what the index says, and return the index and what the last line gives."""
    index = json.loads((folder / "index.json").read_text())
    names = {}
    exec("\n".join(index["read"][:-1]), names)
    return index, names, eval(index["read"][-1], names)


def rows_of(folder, file_format):
    """Return the columns of every utterance by its id."""
    if file_format == "npz":
        found = {}
        for path in sorted((folder / "data").glob("*.npz")):
            file = np.load(path)
            for place, key in enumerate(file["id"]):
                found[str(key)] = {
                    name.split("/")[0]: file[name]
                    for name in file.files
                    if name.endswith("/" + key)
                } | {name: file[name][place] for name in ("id", "path", "start", "duration")}
        return found
    if file_format == "parquet":
        table = pandas.read_parquet(folder / "data").to_dict("records")
    else:
        table = datasets.load_from_disk(str(folder / "data")).with_format("numpy")
    return {row["id"]: row for row in table}


@pytest.mark.parametrize("file_format", ["parquet", "npz", "dataset"])
def test_every_format_holds_the_units_of_the_tokenizer(file_format, speech, spin_folder, tmp_path):
    out = tmp_path / "out"
    units(speech, "--model", spin_folder, "--output_dir", out, "--format", file_format,
          "--segment_seconds", 20, *FILES)  # fmt: skip
    tokenizer = UnitTokenizer.from_pretrained(spin_folder)
    index, _, first = read(out)
    rows = rows_of(out, file_format)
    assert index["utterances"] == len(rows) and len(index["files"]) > 5
    assert {"0", "1", "2", "3", "4", "5"} < set(rows) and index["num_units"] == 12
    parts = [row for key, row in rows.items() if key.startswith("long_")]
    assert len(parts) >= 4 and sum(row["duration"] for row in parts) == pytest.approx(70)
    for row in rows.values():
        start, stop = (round(16_000 * row[name]) for name in ("start", "duration"))
        whole = tokenizer(read_audio(str(row["path"]), start=start, stop=start + stop))
        np.testing.assert_array_equal(row["units"], whole.units)
        np.testing.assert_array_equal(row["pieces"], whole.frame_ids)
        np.testing.assert_array_equal(row["piece_ids"], whole.ids)
        np.testing.assert_allclose(row["piece_starts"], row["start"] + whole.starts)
        np.testing.assert_allclose(row["piece_ends"], row["start"] + whole.ends)
        lengths = np.rint((row["unit_ends"] - row["unit_starts"]) / 0.02).astype(int)
        np.testing.assert_array_equal(np.repeat(row["unit_ids"], lengths), row["units"])
        assert row["unit_starts"][0] == pytest.approx(row["start"])
    np.testing.assert_array_equal(first, rows["0"]["units"])


def test_what_cannot_be_read_is_named(speech, spin_folder, tmp_path, capsys):
    units(speech, "--model", spin_folder, "--output_dir", tmp_path / "out", "--segment_seconds", 0)
    index, _, _ = read(tmp_path / "out")
    assert len(index["skipped"]) == 2 and "broken.wav" in str(index["skipped"])
    assert "silence.wav" in str(index["skipped"])
    text = (tmp_path / "out" / "README.md").read_text()
    assert "broken.wav" in text and "pandas.read_parquet" in text and "`units`" in text
    with pytest.raises(SystemExit, match="broken.wav could not be read"):
        units(speech, "--model", spin_folder, "--output_dir", tmp_path / "b", "--strict", "true")
    assert not (tmp_path / "b").exists()


def test_shards_make_the_same_files_and_the_last_one_writes_the_index(
    speech, spin_folder, tmp_path, monkeypatch
):
    options = ["--model", spin_folder, *FILES, "--format", "npz"]
    units(speech, *options, "--output_dir", tmp_path / "whole")
    out = tmp_path / "shards"
    for task in ("3", "5"):  # --array=3-5:2
        assert not (out / "index.json").exists()
        for name, value in [("ID", task), ("COUNT", "2"), ("MIN", "3"), ("MAX", "5"),
                            ("STEP", "2")]:  # fmt: skip
            monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", value)
        units(speech, *options, "--output_dir", out)
    names = sorted(path.name for path in (tmp_path / "whole" / "data").iterdir())
    assert names == sorted(path.name for path in (out / "data").iterdir())
    ours, theirs = rows_of(out, "npz"), rows_of(tmp_path / "whole", "npz")
    assert set(ours) == set(theirs)
    for key, row in theirs.items():
        np.testing.assert_array_equal(ours[key]["units"], row["units"])


def test_merge_names_what_is_missing_and_joins_copied_folders(speech, spin_folder, tmp_path):
    options = ["--model", spin_folder, *FILES, "--format", "dataset", "--num_shards", 2]
    for shard in (0, 1):
        units(speech, *options, "--shard", shard, "--output_dir", tmp_path / str(shard))
    with pytest.raises(SystemExit, match="of . files are not finished in .*1, 3"):
        units("--merge", "--output_dir", tmp_path / "0")
    for part in ("data", "finished"):
        shutil.copytree(tmp_path / "1" / part, tmp_path / "0" / part, dirs_exist_ok=True)
    units("--merge", "--output_dir", tmp_path / "0")
    assert (
        len(rows_of(tmp_path / "0", "dataset"))
        == json.loads((tmp_path / "0" / "index.json").read_text())["utterances"]
    )
    file = sorted((tmp_path / "0" / "data").glob("*.arrow"))[1]
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(SystemExit, match=r"has \d+ bytes, expected"):
        units("--merge", "--output_dir", tmp_path / "0")
    with pytest.raises(SystemExit, match="expected the --output_dir of hf-rspin"):
        units("--merge", "--output_dir", tmp_path)


def test_results_of_other_settings_and_other_files_are_refused(speech, spin_folder, tmp_path):
    out = tmp_path / "out"
    units(speech, "--model", spin_folder, "--output_dir", out)
    before = (out / "index.json").read_bytes()
    for changed in (["--pieces", "none"], ["--format", "npz"], ["--segment_seconds", "20"]):
        with pytest.raises(SystemExit, match="holds data made from"):
            units(speech, "--model", spin_folder, "--output_dir", out, *changed)
    assert (out / "index.json").read_bytes() == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("precious")
    with pytest.raises(SystemExit, match="not empty: name a new folder"):
        units(speech, "--model", spin_folder, "--output_dir", tmp_path / "mine")
    assert os.listdir(tmp_path / "mine") == ["thesis.tex"]


def test_a_published_kmeans_and_mfcc(speech, encoder_folder, centres_file, tmp_path):
    out = tmp_path / "out"
    options = ["--kmeans", centres_file, "--format", "npz", "--output_dir", out]
    with pytest.raises(SystemExit, match="pass layer, such as 9"):
        units(speech, "--encoder", encoder_folder, *options)
    units(speech, "--encoder", encoder_folder, "--layer", 2, *options)
    tokenizer = UnitTokenizer.from_pretrained(encoder_folder, kmeans=centres_file, layer=2)
    row = rows_of(out, "npz")["3"]
    np.testing.assert_array_equal(row["units"], tokenizer(speech / "3.wav").units)
    assert "pieces" not in row
    with pytest.raises(SystemExit, match="holds data made from layer 2"):
        units(speech, "--encoder", encoder_folder, "--layer", 1, *options)


@pytest.mark.parametrize(
    "arguments,message",
    [
        (["--model", "m"], "no output folder"),
        (["--model", "m", "--output_dir", "o", "--format", "csv"], "expected parquet, npz"),
        (["--output_dir", "o"], "no model was given"),
        (["--model", "m", "--encoder", "n", "--output_dir", "o"], "two names of one option"),
        (["--model", "m", "--output_dir", "o", "--shard", "2", "--num_shards", "2"],
         "number the processes from 0"),
        (["--model", "m", "--output_dir", "o", "--shard", "2"], "expected both"),
        (["--units", "mfcc", "--output_dir", "o"], "no k-means was given"),
        (["--units", "mfcc", "--kmeans", "no.npy", "--output_dir", "o"], "no.npy is neither"),
        (["--model", "nowhere", "--output_dir", "o"], "neither a folder nor a model"),
        (["--modle", "m", "--output_dir", "o", "--units", "mfcc"], "did you mean model"),
    ],
)  # fmt: skip
def test_mistakes_are_one_sentence(arguments, message, speech, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=message):
        units(speech, *arguments)
    assert not (tmp_path / "o").exists()


def test_an_output_inside_of_the_corpus_is_refused(speech, spin_folder, tmp_path):
    shutil.copytree(speech, tmp_path / "speech")
    for place in ("speech", "speech/units/deep"):
        with pytest.raises(SystemExit, match="lies in the corpus .*name a folder outside of it"):
            units(tmp_path / "speech", "--model", spin_folder, "--output_dir", tmp_path / place)
    assert not (tmp_path / "speech" / "units").exists()


def test_another_division_into_files_is_another_run():
    one, other = (
        [np.arange(5), np.arange(5), np.arange(2)],
        [np.arange(4), np.arange(5), np.arange(3)],
    )
    assert boundaries(one) == boundaries([rows + 1 for rows in one]) != boundaries(other)


def test_help_shows_the_options(capsys):
    with pytest.raises(SystemExit):
        units("--help")
    text = capsys.readouterr().out
    assert "hf-rspin units speech_folder" in text and "--num_shards" in text
    assert len(text.splitlines()) < 80
