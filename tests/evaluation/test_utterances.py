from pathlib import Path

import datasets
import numpy as np
import pytest
import soundfile

from hf_rspin.audio import AudioError, num_frames
from hf_rspin.evaluation.evaluation_set import EvaluationSet


def make(count=40, speakers=8):
    return EvaluationSet(
        [f"u{i}" for i in range(count)], [{"path": f"{i}"} for i in range(count)],
        [f"s{i % speakers}" for i in range(count)], [["AA"]] * count,
    )


def test_columns_are_taken_from_a_corpus(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.full(800, 0.25), 16000)
    corpus = datasets.Dataset.from_dict(
        {"id": [7], "audio": [{"path": str(path), "bytes": None}], "phones": ["AA1 | B"]}
    )
    found = EvaluationSet.from_corpus(corpus, keep_waveforms=True)
    assert (found.ids, found.phones, found.speakers) == (["7"], [["AA", "B"]], None)
    np.testing.assert_allclose(found.read(0), np.full(720, 0.25), atol=1e-4)  # two frames
    assert found.read(0) is found.read(0)
    with pytest.raises(ValueError, match="no utterance"):
        EvaluationSet.from_corpus(corpus.select([]))


def test_utterances_are_sorted_by_duration_with_their_columns():
    corpus = datasets.Dataset.from_dict({
        "id": ["a", "b", "c"], "audio": [{"path": p, "bytes": None} for p in "abc"],
        "duration": [3.0, 1.0, 2.0], "speaker": [1, 2, 3], "phones": ["AA", "B", "CH"],
    })
    found = EvaluationSet.from_corpus(corpus)
    assert found.ids == ["b", "c", "a"]
    assert [cell["path"] for cell in found.audio] == ["b", "c", "a"]
    assert (found.speakers, found.phones) == (["2", "3", "1"], [["B"], ["CH"], ["AA"]])


def test_an_unknown_speaker_is_nobody():
    columns = {"id": list("abc"), "audio": [{"path": p, "bytes": None} for p in "abc"]}
    corpus = datasets.Dataset.from_dict(columns | {"speaker": ["x", None, ""]})
    assert EvaluationSet.from_corpus(corpus).speakers == ["x", None, None]
    corpus = datasets.Dataset.from_dict(columns | {"speaker": [0, None, 2]})
    assert EvaluationSet.from_corpus(corpus).speakers == ["0", None, "2"]
    corpus = datasets.Dataset.from_dict(columns | {"speaker": [None, None, None]})
    assert EvaluationSet.from_corpus(corpus).speakers is None


def test_audio_inside_a_table_is_read_row_by_row():
    cells = [{"path": None, "bytes": bytes([i])} for i in range(4)]
    corpus = datasets.Dataset.from_dict({
        "id": list("abcd"), "audio": cells, "duration": [4.0, 3.0, 2.0, 1.0],
    })
    chosen = EvaluationSet.from_corpus(corpus).select([0, 2])
    assert chosen.ids == ["d", "b"]
    assert not isinstance(chosen.audio, list)
    assert [cell["bytes"] for cell in chosen.audio] == [b"\x03", b"\x01"]


def test_too_short_audio_is_named(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(399), 16000)
    with pytest.raises(AudioError, match="u9 has 399 samples"):
        EvaluationSet(["u9"], [{"path": str(tmp_path / "a.wav"), "bytes": None}]).read(0)


def test_subsets_spread_over_speakers_nest_and_repeat():
    found, larger = make().subset(16), make().subset(24)
    assert sorted(found.speakers) == sorted(f"s{i}" for i in range(8) for _ in range(2))
    assert set(found.ids) < set(larger.ids)
    assert found.ids == make().subset(16).ids != make().subset(16, seed=1).ids
    assert make().subset(None).ids == make().subset(99).ids == make().ids
    with pytest.raises(ValueError, match="subset of 0"):
        make().subset(0)


def test_phones_of_frames_come_from_the_alignment(tmp_path):
    for name, samples in (("a", 1999), ("b", 16000)):
        soundfile.write(tmp_path / f"{name}.wav", np.full(samples, 0.1), 16000)
    rows = {
        "id": ["a", "b"], "audio": [{"path": str(tmp_path / f"{x}.wav")} for x in "ab"],
        "alignment": ["0.0:SIL 0.04:CH 0.11:SIL", None],
    }  # fmt: skip
    found = EvaluationSet.from_corpus(datasets.Dataset.from_dict(rows))
    first, second = found.frame_labels()
    # centres at 12.5, 32.5, ... 92.5 ms; the last phone begins after the last whole frame
    assert first.tolist() == [-1, -1, 0, 0, 0] and len(found.read(0)) == 1680
    assert second.tolist() == [-1] * num_frames(16000)
    assert EvaluationSet(found.ids, found.audio).frame_labels() is None
    assert found.select([1]).alignments == [""]


def test_alignments_of_low_score_are_left_out_and_lose_their_stress():
    rows = {
        "id": ["a", "b", "c"], "audio": [{"path": f"{x}.wav"} for x in "abc"],
        "alignment": ["0.0:AH0 0.2:T", "0.0:IY1", ""], "alignment_score": [-0.5, -1.5, None],
    }  # fmt: skip
    corpus = datasets.Dataset.from_dict(rows)
    assert EvaluationSet.from_corpus(corpus).alignments == ["0.0:AH 0.2:T", "0.0:IY", ""]
    whole = EvaluationSet.from_corpus(corpus, strip_stress=False)
    assert whole.alignments == rows["alignment"]
    some = EvaluationSet.from_corpus(corpus, least_score=-1.0)
    assert some.alignments == ["0.0:AH 0.2:T", "", ""]
    assert EvaluationSet.from_corpus(corpus, least_score=0.0).alignments is None
    with pytest.raises(ValueError, match="least score of alignments is 0, but they have no scores"):
        EvaluationSet.from_corpus(corpus.remove_columns("alignment_score"), least_score=0.0)


def test_the_fingerprint_follows_names_and_labels():
    found = make()
    assert found.fingerprint() == make().fingerprint()
    changed = [make(count=39), make(speakers=7), make().select([1, 0, *range(2, 40)])]
    louder = make()
    louder.audio = [*louder.audio[:-1], np.ones(800, dtype=np.float32)]
    changed.append(louder)
    assert len({found.fingerprint(), *(other.fingerprint() for other in changed)}) == 5


def test_alignments_that_go_on_beyond_the_audio_are_left_out_and_named():
    table = datasets.Dataset.from_dict({
        "id": ["a", "b", "c"], "audio": [{"path": "x", "bytes": None}] * 3,
        "duration": [1.0, 2.0, 3.0],
        "alignment": ["0.0:AA 0.9:B", "0.0:AA 2.1:B", "0.0:AA 3.0005:B"],
        "word_alignment": ["0.0:who", "0.0:who", "5.0:who"],
    })  # fmt: skip
    found = EvaluationSet.from_corpus(table)
    assert found.alignments == ["0.0:AA 0.9:B", "", "0.0:AA 3.0005:B"]
    assert found.word_alignments == ["0.0:who", "0.0:who", ""]
    assert found.remark().startswith("The alignments of 2 of 3 utterances, such as b, are left out")
    assert "such as c" in found.select([0, 2]).remark()
    assert found.select([0]).remark() is None
    alone = EvaluationSet.from_corpus(table.select([1]))
    assert alone.alignments is None and "1 of 1" in alone.remark()


def test_labels_of_frames_name_the_utterance_that_has_none(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.ones(16000), 16000)
    cells = [{"path": str(tmp_path / "a.wav"), "bytes": None}]
    with pytest.raises(ValueError, match="column alignment of mine: "):
        EvaluationSet(["mine"], cells, alignments=["0.0:AA 4.0:B"]).frame_labels()


def test_unknown_speakers_are_not_one_speaker():
    found = make(4, 2)
    assert found.groups() == ["s0", "s1", "s0", "s1"]
    found.speakers = ["s0", None, "s0", None]
    assert found.groups() == ["s0", "u1", "s0", "u3"]
    found.speakers = None
    assert found.groups() is None


def test_damaged_files_of_a_subset_are_left_out_at_once(tmp_path):
    paths = [str(tmp_path / name) for name in ("a.wav", "b.wav")]
    soundfile.write(paths[0], np.full(800, 0.25), 16000)
    Path(paths[1]).write_bytes(b"no audio")
    found = EvaluationSet(["a", "b"], [{"path": path, "bytes": None} for path in paths])
    assert found.readable().ids == ["a"]
    with pytest.raises(ValueError, match="none of 1 utterances, such as b, can be read"):
        found.select([1]).readable()
