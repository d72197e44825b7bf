"""Alignments as text."""

import pytest

from hf_rspin.resources import Segment, frame_phones, parse_alignment


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
