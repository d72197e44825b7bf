"""Alignments as text."""

import pytest

from hf_rspin.resources import Segment, alignment_text, frame_phones, parse_alignment


def test_each_phone_ends_where_the_next_starts():
    assert parse_alignment("0.000:SIL 0.100:DH 0.150:AX", 0.4) == [
        Segment(0.0, 0.1, "SIL"),
        Segment(0.1, 0.15, "DH"),
        Segment(0.15, 0.4, "AX"),
    ]


def test_frames_are_labelled_at_their_centres():
    # Centres at 12.5, 32.5, 52.5, 72.5 ms; a phone that starts at a centre has that frame.
    alignment = "0.000:SIL 0.0325:A 0.060:B"
    assert frame_phones(alignment, 400 + 3 * 320) == ["SIL", "A", "A", "B"]


def test_time_before_the_first_phone_is_silence():
    assert frame_phones("0.030:A", 720) == ["SIL", "A"]


def test_audio_shorter_than_a_frame_has_no_label():
    assert frame_phones("0.000:A", 399) == []


@pytest.mark.parametrize("alignment", ["0.1", "0.1:", "A:0.1", ":A"])
def test_a_malformed_entry_is_named(alignment):
    with pytest.raises(ValueError, match=f"'{alignment}', expected start:phone"):
        parse_alignment(alignment, 1.0)


@pytest.mark.parametrize(("alignment", "duration"), [("0.2:A 0.1:B", 1.0), ("0.2:A", 0.1)])
def test_times_that_go_backwards_are_refused(alignment, duration):
    with pytest.raises(ValueError, match="ends before it starts"):
        parse_alignment(alignment, duration)


def test_starts_and_ends_as_text_have_silence_between_phones():
    text = alignment_text(["DH", "AX", "T"], [0.1, 0.15, 0.2004], [0.15, 0.2001, 0.3])
    assert text == "0.000:SIL 0.100:DH 0.150:AX 0.200:T 0.300:SIL"
    assert alignment_text(["A", "B"], [0.0, 0.5], [0.2, 0.6]) == (
        "0.000:A 0.200:SIL 0.500:B 0.600:SIL"
    )
    assert alignment_text([], [], []) == ""
    assert [s.phone for s in parse_alignment(text, 0.4)] == ["SIL", "DH", "AX", "T", "SIL"]


@pytest.mark.parametrize(
    ("starts", "ends", "message"),
    [
        ([0.1], [0.2, 0.3], "got 2 phones, 1 starts and 2 ends"),
        ([0.1, 0.15], [0.2, 0.3], "B from 0.15 to 0.3 s follows 0.2 s"),
        ([0.1, 0.4], [0.2, 0.3], "B from 0.4 to 0.3 s"),
        ([-0.1, 0.2], [0.2, 0.3], "A from -0.1"),
    ],
)
def test_starts_and_ends_that_do_not_fit_are_refused(starts, ends, message):
    with pytest.raises(ValueError, match=message):
        alignment_text(["A", "B"], starts, ends)


def test_no_silence_follows_a_phone_that_ends_with_the_audio():
    assert alignment_text(["A"], [0.0], [0.5], 0.5) == "0.000:A"
    assert alignment_text(["A"], [0.0], [0.4], 0.5) == "0.000:A 0.400:SIL"


def test_a_start_rounded_beyond_the_end_lasts_no_time():
    assert parse_alignment("0.000:A 0.501:SIL", 0.5004)[-1] == Segment(0.501, 0.501, "SIL")
    with pytest.raises(ValueError, match="ends before it starts"):
        parse_alignment("0.000:A 0.502:SIL", 0.5004)


def test_what_the_aligner_did_not_know_is_silence():
    text = "0.0:AA 0.1:SPN 0.2:<unk> 0.3:B"
    labels = frame_phones(text, 6400)
    assert sorted(set(labels)) == ["AA", "B", "SIL"]
    assert labels == frame_phones("0.0:AA 0.1:SIL 0.3:B", 6400)
