"""Labels of long recordings: each part keeps its own, by the times."""

import json
import logging

import numpy as np
import pytest

from hf_rspin.data import load_corpus
from hf_rspin.data.part_labels import labels_of_parts
from hf_rspin.data.phone_times import alignment_text, frame_phones
from tests.data.test_segments import spoken

PHONES = ("AH0", "B", "sil", "T", "EY1")
PLACES = [(0.0, 1.0), (1.0, 2.0)]


def drawn(seconds, generator):
    """Times of phones that cover a recording, with silence by its name and as nothing."""
    ends = np.cumsum(generator.uniform(0.03, 0.3, round(20 * seconds)))
    ends = ends[ends < seconds]
    starts = np.concatenate([[0.0], ends[:-1]])
    labels = generator.choice(PHONES, len(ends))
    kept = generator.random(len(ends)) < 0.8
    return [list(column[kept]) for column in (labels, starts, ends)]


@pytest.mark.parametrize("seed", range(5))
def test_frames_of_parts_have_the_labels_that_they_have_in_the_whole(seed):
    generator = np.random.default_rng(seed)
    seconds = 30.0
    labels, starts, ends = drawn(seconds, generator)
    text = alignment_text([str(x) for x in labels], starts, ends, seconds)
    cuts = [0.0, *(np.sort(generator.choice(np.arange(1, 1500), 4, replace=False)) / 50), seconds]
    places = list(zip(cuts, cuts[1:], strict=False))
    phones = " ".join(str(x) for x in labels if x != "sil")
    whole = frame_phones(text, round(seconds * 16_000))
    found = labels_of_parts({"alignment": text, "phones": phones}, places, seconds)
    assert " ".join(part["phones"] for part in found if part["phones"]) == phones
    for (start, stop), part in zip(places, found, strict=True):
        named = frame_phones(part["alignment"], round((stop - start) * 16_000))
        first = round(start * 50)
        assert len(named) > 0 or stop - start < 0.04
        assert named == whole[first : first + len(named)]


@pytest.mark.parametrize(("phones", "shares"), [
    ("AH0 | B", ["AH0", "B"]), ("ah b", [None, None]), ("AH0 B T", [None, None]),
    ("SIL AH0 sil B pau", ["AH0", "B"]), ("", [None, None]), (None, [None, None]),
    (["AH0", "B"], [None, None]),
])  # fmt: skip
def test_phones_are_divided_where_the_times_have_the_same(phones, shares):
    row = {"phones": phones, "alignment": "0.000:sil 0.500:AH 0.700:SIL 0.900:B 1.200:pau"}
    found = labels_of_parts(row, PLACES, 2.0)
    assert [part["phones"] for part in found] == shares
    assert [part["alignment"] for part in found] == [
        "0.000:sil 0.500:AH 0.700:SIL 0.900:B", "0.000:B 0.200:pau",
    ]  # fmt: skip


def test_words_are_divided_whatever_their_case_and_punctuation():
    row = {"text": "Well, it's me!", "word_alignment": "0.100:WELL 0.700:it's 0.900:me 1.500:SIL"}
    found = labels_of_parts(row, PLACES, 2.0)
    assert [part["text"] for part in found] == ["Well, it's", "me!"]
    assert [part["text"] for part in labels_of_parts({"text": "one"}, PLACES, 2.0)] == [None] * 2


def test_punctuation_alone_and_words_of_aligners_are_no_words():
    row = {"text": "- Hello - world .", "word_alignment": "0:<eps> 0.1:hello 0.9:SIL 1.2:world"}
    found = labels_of_parts(row, PLACES, 2.0)
    assert [part["text"] for part in found] == ["- Hello -", "world ."]


def test_a_part_before_the_first_phone_is_silence_and_a_phone_of_no_length_stays():
    row = {"alignment": "1.500:AH 1.600:SIL", "phones": "AH"}
    assert labels_of_parts(row, PLACES, 2.0)[0] == {"alignment": "0.000:SIL", "phones": ""}
    row = {"alignment": "0.500:AH 1.000:T 1.000:B", "phones": "AH T B"}
    found = labels_of_parts(row, PLACES, 2.0)[1]
    assert found == {"alignment": "0.000:T 0.000:B", "phones": "T B"}


@pytest.mark.parametrize("text", ["0.100:AH 3.000:B", "0.500:AH 0.200:B", "no times"])
def test_times_that_are_wrong_stay_for_those_who_refuse_them(text):
    row = {"alignment": text, "phones": "AH B"}
    for part in labels_of_parts(row, PLACES, 2.0):
        assert part == {"alignment": text, "phones": None}


def test_a_long_recording_keeps_its_times_in_a_corpus(write, tmp_path, caplog):
    samples, pauses = spoken(70.0)
    for name in ("a", "b", "c"):
        write(f"{name}.wav", samples=samples)
    borders = [stop for _, stop in pauses]
    starts, ends = borders[:-1], [start for start, _ in pauses[1:]]
    words = [f"w{number}" for number in range(len(starts))]
    lines = [
        {"file_name": f"{name}.wav", "phones": ["AH"] * len(starts), "phone_starts": starts,
         "phone_ends": ends, "words": words, "word_starts": starts, "word_ends": ends,
         "score": -0.5}
        for name in ("a", "b")
    ]  # fmt: skip
    text = "\n".join(map(json.dumps, lines))
    (tmp_path / "alignments.jsonl").write_text(text)
    rows = [f"a.wav,{' '.join(words)}", "b.wav,something else", "c.wav,no times at all"]
    (tmp_path / "metadata.csv").write_text("\n".join(["file_name,text", *rows]) + "\n")
    whole = dict(zip("abc", load_corpus(tmp_path)["alignment"], strict=True))
    with caplog.at_level(logging.INFO):
        corpus = load_corpus(tmp_path, segment_seconds=17.0)
    assert "2 recordings are cut into parts that have no text: no times of words" in caplog.text
    frames = {name: frame_phones(whole[name], 70 * 16_000) for name in "ab"}
    for row in corpus:
        name, first = row["id"][0], round((row["audio"]["start"]) * 50)
        if name == "c":
            assert not row["alignment"] and not row["word_alignment"] and not row["text"]
            continue
        found = frame_phones(row["alignment"], round(row["duration"] * 16_000))
        assert found == frames[name][first : first + len(found)]
        assert row["alignment_score"] == -0.5
    texts = {name: [row["text"] for row in corpus if row["id"][0] == name] for name in "ab"}
    assert " ".join(texts["a"]) == " ".join(words) and not any(texts["b"])
