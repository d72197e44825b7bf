"""Long recordings: parts end in pauses, cover everything, and are read by seeking."""

import numpy as np
import pytest
import soundfile

from hf_rspin.audio import num_frames, read_audio
from hf_rspin.data import SkippedFiles, TwoViewCollator, TwoViewDataset, load_corpus
from hf_rspin.data.segments import cut_at_pauses, quiet_cuts
from hf_rspin.views import SpinViews

PLAIN = SpinViews(perturb_speaker=False, equalize=False)


class Labels(dict):
    num_labels = 10_000


def spoken(seconds, seed=0):
    """Noise in bursts of 1 to 3 s with pauses of 0.4 s; return it and the pauses in seconds."""
    generator = np.random.default_rng(seed)
    samples, pauses, place = 0.1 * generator.standard_normal(round(seconds * 16_000)), [], 0.0
    while (place := place + generator.uniform(1, 3)) < seconds - 1:
        samples[round(place * 16_000) : round((place + 0.4) * 16_000)] *= 0.01
        pauses.append((place, place + 0.4))
        place += 0.4
    return samples.astype("f4"), pauses


@pytest.mark.parametrize(("seconds", "segment"), [(100.0, 17.0), (61.3, 8.0), (90.02, 30.0)])
def test_parts_end_in_pauses_and_cover_everything(write, tmp_path, seconds, segment):
    samples, pauses = spoken(seconds)
    write("long.flac", samples=samples)
    corpus = load_corpus(tmp_path, segment_seconds=segment)
    cells = corpus["audio"][:]
    assert cells[0]["start"] == 0 and cells[-1]["stop"] == seconds
    assert [cell["stop"] for cell in cells[:-1]] == [cell["start"] for cell in cells[1:]]
    assert max(corpus["duration"]) <= segment and min(corpus["duration"]) > segment / 5
    for cell in cells[1:]:
        assert any(begin < cell["start"] < end for begin, end in pauses)
        assert cell["start"] * 50 == pytest.approx(round(cell["start"] * 50))
    whole = np.concatenate([read_audio(cell) for cell in cells])
    np.testing.assert_array_equal(whole, read_audio(tmp_path / "long.flac"))
    assert corpus["id"][0] == f"long_0.00-{cells[0]['stop']:.2f}"


def test_no_length_gives_long_or_tiny_parts(write, tmp_path):
    path = str(write("a.wav", 130.0))
    for seconds in np.random.default_rng(0).uniform(60, 130, 60):
        for segment in (5.0, 17.0, 29.97):
            cuts = [0.0, *quiet_cuts({"path": path}, 0.0, seconds, segment), seconds]
            lengths = np.diff(cuts)
            assert segment / 5 < lengths.min() and lengths.max() <= segment


def test_utterances_stay_whole_and_parts_lose_the_transcript(write, tmp_path):
    write("a.wav", 20.0)
    write("b.wav", samples=spoken(70.0)[0])
    rows = "file_name,text,speaker,split\na.wav,one,x,train\nb.wav,much,y,train\n"
    (tmp_path / "metadata.csv").write_text(rows)
    corpus = load_corpus(tmp_path, "train", segment_seconds=50.0)
    assert corpus["id"][:] == ["a", *corpus["id"][1:]] and len(corpus) == 3
    assert corpus["text"][:] == ["one", None, None]
    assert corpus["speaker"][:] == ["x", "y", "y"]
    assert corpus["split"][:] == ["train"] * 3
    assert corpus["audio"][0]["start"] is None
    assert load_corpus(tmp_path)["id"][:] == ["a", "b"]  # unless it is asked for


def test_nothing_long_changes_nothing(write, tmp_path):
    write("a.wav", 20.0)
    assert load_corpus(tmp_path, segment_seconds=5.0).features == load_corpus(tmp_path).features


def test_parts_train_like_files(write, tmp_path):
    write("long.flac", samples=spoken(70.0)[0])
    corpus = load_corpus(tmp_path, segment_seconds=10.0)
    lengths = [num_frames(round(seconds * 16_000)) for seconds in corpus["duration"]]
    labels = Labels({key: np.arange(n) for key, n in zip(corpus["id"], lengths, strict=True)})
    dataset = TwoViewDataset(corpus, PLAIN, labels, min_seconds=1.0, max_seconds=4.0)
    whole = read_audio(tmp_path / "long.flac")
    for index, row in enumerate(corpus):
        example = dataset[1, index]
        crop, first_label = example.clean, int(example.labels[0])
        first = round(row["audio"]["start"] * 16_000)
        inside = whole[first : round(row["audio"]["stop"] * 16_000)]
        np.testing.assert_array_equal(inside[320 * first_label :][: len(crop)], crop)
        assert len(example.labels) == num_frames(len(crop))
    batch = TwoViewCollator()(dataset.__getitems__([(0, 0), (0, 1)]))
    assert batch["input_values"].shape == (2, 64_000)


def test_a_recording_that_goes_bad_is_named_once(write, tmp_path, caplog):
    write("good.flac", samples=spoken(70.0)[0])
    write("bad.flac", samples=spoken(80.0, 1)[0])
    corpus = load_corpus(tmp_path, segment_seconds=10.0)
    dataset = TwoViewDataset(corpus, PLAIN, min_seconds=1.0)
    (tmp_path / "bad.flac").write_bytes(b"gone")
    skipped = SkippedFiles()
    items = dataset.__getitems__([(0, index) for index in range(len(dataset))])
    for item in TwoViewCollator()(items)["batch_info"].skipped:
        skipped.add(item)
    assert len(skipped) == 1 and caplog.text.count("Skipped: ") == 1
    assert "bad.flac at 0.0 s could not be read" in caplog.text
    (tmp_path / "bad.flac").unlink()
    loaded = load_corpus(tmp_path)
    loaded = cut_at_pauses(loaded, 10.0, skipped)
    assert {cell["path"].rsplit("/", 1)[1] for cell in loaded["audio"]} == {"good.flac"}


def test_recordings_that_cannot_be_cut_are_left_out_once(write, tmp_path):
    write("a.wav", samples=spoken(70.0)[0])
    samples = spoken(70.0, 1)[0]
    samples[160_000:] = np.nan
    soundfile.write(tmp_path / "nan.wav", samples, 16_000, "FLOAT")
    skipped = SkippedFiles()
    corpus = load_corpus(tmp_path, segment_seconds=10.0, skipped=skipped)
    assert {cell["path"].rsplit("/", 1)[1] for cell in corpus["audio"]} == {"a.wav"}
    assert [name.rsplit("/", 1)[1] for name in skipped.reasons] == ["nan.wav"]


def test_other_rates_and_formats(tmp_path):
    samples = spoken(70.0)[0]
    soundfile.write(tmp_path / "a.ogg", np.stack([samples] * 2, 1)[: 16_000 * 65], 8_000)
    corpus = load_corpus(tmp_path, segment_seconds=20.0)
    assert sum(corpus["duration"]) == pytest.approx(130.0)
    lengths = [len(read_audio(cell)) / 16_000 for cell in corpus["audio"]]
    np.testing.assert_allclose(lengths, corpus["duration"])


def test_a_segment_of_no_length_is_refused(write, tmp_path):
    write("a.wav")
    with pytest.raises(ValueError, match="segment_seconds is 0; expected at least 1"):
        load_corpus(tmp_path, segment_seconds=0)
