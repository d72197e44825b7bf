"""Recordings are found, and become short parts without silences, of the channels asked for."""

import json
import shutil

import numpy as np
import pytest
import soundfile

from hf_rspin.adapting.channels import choose_channels, correlation
from hf_rspin.adapting.cutting import cut_all, cut_some, hold_out, shares_recordings
from hf_rspin.adapting.silences import speech_parts
from hf_rspin.adapting.spans import cut_span, draw_spans, read_span
from hf_rspin.adapting.survey import survey_folder
from hf_rspin.audio import AudioError, read_audio
from hf_rspin.audio_files import decode, decode_channels
from hf_rspin.data import SkippedFiles, load_corpus


def noise(seconds, rate=16_000, level=0.1, seed=0):
    return level * np.random.default_rng(seed).standard_normal(round(seconds * rate))


def test_a_folder_is_surveyed(recordings):
    survey = survey_folder(recordings)
    assert [one.name for one in survey.recordings] == [
        "a/b/one.ogg", "a/b/two.mp3", "call_0.wav", "call_1.wav", "long.flac", "silent.wav"
    ]  # fmt: skip
    by_name = {one.name: one for one in survey.recordings}
    assert (by_name["call_0.wav"].rate, by_name["call_0.wav"].channels) == (8000, 2)
    assert by_name["a/b/two.mp3"].rate == 44_100 and survey.is_telephone
    assert list(survey.skipped.reasons) == [str(recordings / "a" / "b" / "broken.wav")]
    text = " ".join(survey.lines())
    assert "6 recordings" in text and "8000 Hz" in text and "stereo" in text
    assert not survey_folder(recordings / "a").is_telephone
    assert survey_folder(recordings).key() == survey.key() != survey_folder(recordings / "a").key()
    assert survey_folder(recordings / "long.flac").recordings[0].name == "long.flac"


def test_what_is_made_inside_of_the_folder_is_no_recording_of_it(recordings, tmp_path):
    shutil.copytree(recordings, tmp_path / "all")
    before = survey_folder(tmp_path / "all").key()
    made = tmp_path / "all" / "runs" / "adapted" / "corpus"
    made.mkdir(parents=True)
    soundfile.write(made / "cut.wav", noise(2.0), 16_000)
    (made / "more.tar").write_bytes(b"x")
    assert survey_folder(tmp_path / "all", tmp_path / "all" / "runs" / "adapted").key() == before
    assert survey_folder(tmp_path / "all").key() != before
    assert "unpack archives" in " ".join(survey_folder(tmp_path / "all").lines())


def test_a_folder_without_recordings_is_refused(tmp_path):
    (tmp_path / "x.m4a").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"no audio file; left out: .*1 .m4a.*ffmpeg.*[^.]\);"):
        survey_folder(tmp_path)
    soundfile.write(tmp_path / "short.wav", noise(0.5), 16_000)
    with pytest.raises(ValueError, match="no recording of a second or more"):
        survey_folder(tmp_path)
    with pytest.raises(ValueError, match="gone does not exist"):
        survey_folder(tmp_path / "gone")


def test_channels_are_chosen():
    left, right = noise(1), noise(1, seed=1)
    both = np.stack([left, right], axis=1)
    assert np.array_equal(choose_channels(both, "left")["left"], left)
    assert np.array_equal(choose_channels(both, "right")["right"], right)
    np.testing.assert_allclose(choose_channels(both, "mix")[""], (left + right) / 2)
    assert list(choose_channels(both, "separate")) == ["left", "right"]
    assert abs(correlation(both)) < 0.05
    twice = np.stack([left, left], axis=1)
    assert list(choose_channels(twice, "separate")) == [""]
    assert np.array_equal(choose_channels(left[:, None], "right")[""], left)
    assert len(choose_channels(np.stack([left, right, noise(1, seed=2)], 1), "separate")) == 3


def test_silences_are_left_out_and_long_speech_is_cut_in_its_pauses():
    quiet = 1e-5 * noise(3, level=1)
    loud = noise(30)
    loud[16_000 * 8 : 16_000 * 8 + 4800] *= 0.01  # a pause of 0.3 s that stays
    parts = speech_parts(np.concatenate([quiet, loud, quiet, noise(0.4), quiet]), longest=12)
    assert len(parts) >= 3 and all(1 <= (b - a) / 16_000 <= 12 for a, b in parts)
    assert parts[0][0] / 16_000 == pytest.approx(2.9, abs=0.05)
    assert parts[-1][1] / 16_000 == pytest.approx(33.1, abs=0.05)  # 0.4 s are no part
    assert all(a[1] == b[0] for a, b in zip(parts, parts[1:], strict=False))
    assert any(11 <= stop / 16_000 <= 11.3 for _, stop in parts)
    assert all(start % 320 == 0 for start, _ in parts)
    assert speech_parts(np.zeros(48_000)) == [] == speech_parts(np.zeros(100))


def test_all_channels_of_a_part_are_read_as_the_whole_says(recordings):
    file = recordings / "call_0.wav"
    whole, _ = soundfile.read(file, dtype="float32")
    assert np.array_equal(decode_channels(file, 1000, 5000), whole[1000:5000])
    mono, _ = decode(file)
    np.testing.assert_allclose(decode_channels(file).mean(axis=1), mono, atol=1e-7)


def test_spans_meet_in_a_pause_and_cover_the_recording(tmp_path):
    samples = noise(700, 8000)
    samples[8000 * 351 : 8000 * 351 + 2400] = 0
    soundfile.write(tmp_path / "long.wav", samples, 8000)
    (recording,) = survey_folder(tmp_path).recordings
    spans = sorted(draw_spans([recording]), key=lambda span: span.start)
    assert [span.start for span in spans] == [0, 350]
    (first, rate, begin), (second, _, other) = map(read_span, spans)
    assert begin == 0 and 351 <= other <= 351.3 and rate == 8000
    assert np.array_equal(np.concatenate([first, second])[:, 0],
                          decode_channels(tmp_path / "long.wav")[:, 0])  # fmt: skip
    assert len(draw_spans([recording], hours=0.05)) == 1
    parts = cut_span(spans[1], "left", 12.0)
    assert max(part.seconds for part in parts) <= 12
    assert parts[0].start == pytest.approx(other, abs=0.3)


def test_a_corpus_is_cut_and_goes_on_where_it_was_killed(recordings, tmp_path):
    survey, skipped = survey_folder(recordings), SkippedFiles()
    spans = draw_spans(survey.recordings)
    cut_all(spans, tmp_path / "one", "separate", 12.0, skipped, workers=2)
    corpus = load_corpus(tmp_path / "one")
    assert set(corpus["split"]) == {"train", "test"} and len(corpus) == len(set(corpus["id"]))
    calls = {row["channel"] for row in corpus if row["recording"] == "call_0.wav"}
    assert calls == {"left", "right"} and shares_recordings(corpus)
    assert list(skipped.reasons) == [str(recordings / "silent.wav")]
    assert 0.5 < sum(corpus["duration"]) / (15 * 2.6) < 1.2  # 15 utterances, no silences
    row = next(row for row in corpus if row["recording"] == "long.flac")
    start = round(16_000 * row["offset"])
    part = read_audio(row["audio"])
    whole = read_audio(recordings / "long.flac")[start : start + len(part)]
    np.testing.assert_allclose(part, whole, atol=1e-4)

    done = tmp_path / "two" / "spans"
    done.mkdir(parents=True)
    known = {"parts": [{"file_name": "x.flac", "id": "known", "duration": 5.0, "split": "train",
                        "recording": "x", "channel": "", "offset": 0.0}]}  # fmt: skip
    (done / f"{spans[0].name}.json").write_text(json.dumps(known))
    cut_all(spans, tmp_path / "two", "separate", 12.0, SkippedFiles())
    assert "known" in (tmp_path / "two" / "metadata.csv").read_text() and not done.exists()


def test_too_little_is_refused(recordings, tmp_path):
    spans = draw_spans(survey_folder(recordings / "a" / "b" / "one.ogg").recordings)
    with pytest.raises(AudioError, match="give 1 parts .* expected at least 5"):
        cut_all(spans, tmp_path, "mix", 12.0, SkippedFiles())


def test_a_file_that_breaks_off_later_is_named(tmp_path):
    for name in ("good", "gone"):
        soundfile.write(tmp_path / f"{name}.wav", noise(3), 16_000)
    survey = survey_folder(tmp_path)
    (tmp_path / "gone.wav").write_bytes(b"other")
    parts, read = cut_some(draw_spans(survey.recordings), "mix", 12.0, 99, 99, survey.skipped)
    assert len(parts) == 1 and read == pytest.approx(3)
    assert list(survey.skipped.reasons) == [str(tmp_path / "gone.wav")]


def test_whole_recordings_are_held_out_where_that_costs_little():
    rows = [{"recording": f"r{n // 4}", "channel": "", "duration": 5.0} for n in range(80)]
    found = hold_out(rows)
    out = {row["recording"] for row, test in zip(rows, found, strict=True) if test}
    kept = {row["recording"] for row, test in zip(rows, found, strict=True) if not test}
    assert len(out) == 2 and not out & kept
    rows = [{"recording": f"r{n // 20}", "channel": "", "duration": 5.0} for n in range(40)]
    found = hold_out(rows)  # of two recordings, the end of each
    assert [n for n, test in enumerate(found) if test] == [18, 19, 38, 39]
    assert any(hold_out(rows[:5])) and not all(hold_out(rows[:5]))
    single = [{"recording": f"r{n}", "channel": "", "duration": 5.0} for n in range(3)]
    assert 0 < sum(hold_out(single)) < 3


def test_the_end_of_every_channel_is_held_out_where_recordings_are_few():
    rows = [
        {"recording": f"call_{call}", "channel": side, "duration": 5.0}
        for call in range(2) for side in ("left", "right") for _ in range(10)
    ]  # fmt: skip
    assert [n for n, test in enumerate(hold_out(rows)) if test] == [9, 19, 29, 39]
    shared = [row | {"split": "test" if test else "train"}
              for row, test in zip(rows, hold_out(rows), strict=True)]  # fmt: skip
    assert shares_recordings(shared)
    rows = [row | {"recording": f"call_{n // 4}"} for n, row in enumerate(rows)]
    whole = [row | {"split": "test" if test else "train"}
             for row, test in zip(rows, hold_out(rows), strict=True)]  # fmt: skip
    assert {row["split"] for row in whole} == {"train", "test"} and not shares_recordings(whole)
    one_side = [{"recording": "x", "channel": side, "duration": 5.0}
                for side in ("left", *["right"] * 4)]  # fmt: skip
    assert hold_out(one_side) == [False, False, False, False, True]


def test_an_empty_folder_is_told_in_one_sentence(tmp_path):
    with pytest.raises(ValueError, match=r"\(it holds no audio file\); expected wav"):
        survey_folder(tmp_path)
