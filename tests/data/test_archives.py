"""Tar files of audio: the same corpus as the files themselves, read by its place, indexed once."""

import io
import json
import shutil
import tarfile

import numpy as np
import pytest
import soundfile

from hf_rspin.audio import AudioError, audio_duration, read_audio
from hf_rspin.audio_members import is_member, member_path
from hf_rspin.data import TwoViewDataset, load_corpus
from hf_rspin.data import archives as module
from hf_rspin.data.archives import index_of
from hf_rspin.data.fingerprint import audio_key
from hf_rspin.views import SpinViews


@pytest.fixture
def files(tmp_path):
    """A folder of six recordings of 1 to 2 seconds."""
    folder = tmp_path / "files"
    (folder / "calls").mkdir(parents=True)
    generator = np.random.default_rng(0)
    for number in range(6):
        samples = 0.1 * generator.standard_normal(16_000 + 3_000 * number)
        suffix, rate = ("flac", 16_000) if number % 2 else ("wav", 8_000)
        soundfile.write(folder / "calls" / f"{number}.{suffix}", samples, rate)
    return folder


def pack(files, archive, texts=True, damaged=None):
    """Write recordings, and a .json and .txt of each, into an archive."""
    archive.parent.mkdir(exist_ok=True)
    with tarfile.open(archive, "w") as tar:
        for file in files:

            def add(name, content):
                info = tarfile.TarInfo(f"calls/{name}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))

            add(file.name, b"no audio" if file.name == damaged else file.read_bytes())
            if texts:
                row = {"speaker": f"s{file.stem}", "duration": 99, "nested": [1], "offset": 1}
                add(f"{file.stem}.json", json.dumps(row).encode())
                add(f"{file.stem}.txt", f"text {file.stem}\n".encode())
    return archive


def test_a_folder_of_archives_is_the_corpus_of_its_files(files, tmp_path):
    every = sorted((files / "calls").iterdir())
    pack(every[:4], tmp_path / "tars" / "train-0.tar")
    pack(every[4:], tmp_path / "tars" / "test-0.tar")
    found, expected = load_corpus(tmp_path / "tars"), load_corpus(files)
    assert sorted(found["split"]) == ["test"] * 2 + ["train"] * 4
    by_name = {row["file_name"].split("/", 1)[1]: row for row in found}
    for row in expected:
        other = by_name[row["file_name"]]
        assert other["duration"] == row["duration"]
        np.testing.assert_array_equal(read_audio(other["audio"]), read_audio(row["audio"]))
        part = read_audio(other["audio"], start=3_000, stop=9_000)
        np.testing.assert_array_equal(part, read_audio(row["audio"], start=3_000, stop=9_000))
        stem = row["file_name"].split("/")[1].split(".")[0]
        assert (other["speaker"], other["text"]) == (f"s{stem}", f"text {stem}")
        assert other["id"] in ("train-0/calls/" + stem, "test-0/calls/" + stem)
    assert "nested" not in found.column_names and "offset" not in found.column_names
    train = load_corpus(tmp_path / "tars", split="train")
    assert len(train) == 4 and len(load_corpus(tmp_path / "tars" / "test-0.tar")) == 2


def test_a_dataset_draws_the_same_views_from_an_archive(files, tmp_path):
    pack(sorted((files / "calls").iterdir()), tmp_path / "tars" / "a.tar", texts=False)
    parts = [load_corpus(tmp_path / "tars"), load_corpus(files)]
    one, other = (
        TwoViewDataset(part.sort("duration"), SpinViews(), seed=3, min_seconds=0.5)
        for part in parts
    )
    for index in (0, 3, 5):
        found, expected = one[0, index], other[0, index]
        np.testing.assert_array_equal(found.clean, expected.clean)
        np.testing.assert_array_equal(found.perturbed, expected.perturbed)
    assert audio_key(parts[0].sort("duration")["audio"]) == audio_key(
        parts[1].sort("duration")["audio"]
    )


def test_an_index_is_made_once_and_anew_for_another_archive(files, tmp_path, monkeypatch):
    every = sorted((files / "calls").iterdir())
    archive = pack(every[:3], tmp_path / "tars" / "a.tar")
    first = index_of(archive)
    assert (tmp_path / "tars" / "a.tar.index").is_file()
    monkeypatch.setattr(module, "_recordings", lambda file: pytest.fail("read again"))
    assert index_of(archive) == first and len(load_corpus(tmp_path / "tars")) == 3
    monkeypatch.undo()
    pack(every, archive)
    assert len(index_of(archive)) == 6
    (tmp_path / "tars" / "a.tar.index").write_bytes(b"damaged")
    assert len(load_corpus(tmp_path / "tars")) == 6


def test_what_an_archive_lacks_is_said(files, tmp_path, caplog):
    every = sorted((files / "calls").iterdir())
    pack(every, tmp_path / "tars" / "a.tar", damaged=every[2].name)
    assert len(load_corpus(tmp_path / "tars")) == 5
    assert "could not be read as audio" in caplog.text and every[2].name in caplog.text
    content = (tmp_path / "tars" / "a.tar").read_bytes()
    for name, held, message in (
        ("cut.tar", content[:30_000], "cut.tar cannot be read as a tar file .*: copy it again"),
        ("text.tar", b"x" * 2_000, "text.tar cannot be read as a tar file"),
        ("a.tar.gz", content, "no tar and none .* a.tar.gz is compressed: gunzip or decompress"),
    ):
        folder = tmp_path / name.replace(".", "_")
        folder.mkdir()
        (folder / name).write_bytes(held)
        with pytest.raises(ValueError, match=message):
            load_corpus(folder)
    with tarfile.open(tmp_path / "tars" / "empty.tar", "w"):
        pass
    with pytest.raises(ValueError, match=r"empty.tar holds no audio in its tar files \(.wav"):
        load_corpus(tmp_path / "tars" / "empty.tar")
    assert len(load_corpus(tmp_path / "tars")) == 5  # one without audio hides no other
    assert "empty.tar holds no audio and is left out" in caplog.text
    (tmp_path / "tars" / "b.tar.gz").write_bytes(content)
    load_corpus(tmp_path / "tars")
    assert "1 compressed archives are left out, such as b.tar.gz" in caplog.text
    shutil.copy(every[0], tmp_path / "tars" / "loose.wav")
    with pytest.raises(ValueError, match="holds 2 tar files, such as a.tar, and beside them loose"):
        load_corpus(tmp_path / "tars")


def test_suffixes_in_capitals_and_values_of_several_types(files, tmp_path):
    every = sorted((files / "calls").iterdir())
    archive = pack(every[:2], tmp_path / "tars" / "ONE.TAR")
    with tarfile.open(archive, "a") as tar:
        for name, speaker in (("0", 12), ("1", "a12")):
            content = json.dumps({"speaker": speaker}).encode()
            info = tarfile.TarInfo(f"calls/{name}.json")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    found = load_corpus(tmp_path / "tars")
    assert len(found) == 2 and sorted(found["speaker"]) == ["12", "a12"]
    assert read_audio(found[0]["audio"]).size


def test_a_member_is_a_path_and_a_shorter_archive_is_told(files, tmp_path):
    archive = pack(sorted((files / "calls").iterdir()), tmp_path / "tars" / "a.tar", texts=False)
    row = index_of(archive)[-1]
    path = member_path(archive, row["offset"], row["size"], row["file_name"])
    assert is_member(path) and not is_member("a.tar") and not is_member("what!1+2!a.flac")
    assert audio_duration(path) == row["duration"] == audio_duration({"path": path})
    shutil.copy(archive, tmp_path / "short.tar")
    with open(tmp_path / "short.tar", "r+b") as file:
        file.truncate(row["offset"] + 100)
    with pytest.raises(AudioError, match="the archive ends before it: copy .*short.tar again"):
        read_audio(path.replace(str(archive), str(tmp_path / "short.tar")))
    with pytest.raises(AudioError, match="correct the path, or take it out"):
        read_audio(path.replace(str(archive), str(tmp_path / "gone.tar")))
