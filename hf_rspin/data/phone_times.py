"""Times of phones or words as one column of text: write and parse it, label frames with it."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from hf_rspin.audio import FRAME_SHIFT, FRAME_WINDOW, SAMPLING_RATE, num_frames
from hf_rspin.data.phone_labels import is_unknown

SILENCE = "SIL"
# what aligners call silence, in any case
SILENT_PHONES = frozenset(["", "sil", "sp", "silence", "<sil>", "<eps>", "h#", "#h", "pau", "epi"])
ROUNDING = 0.001  # seconds; times are written with three digits


class Segment(NamedTuple):
    """A phone, or a word, from `start` to `end` seconds."""

    start: float
    end: float
    phone: str


def parse_alignment(alignment: str, duration: float) -> list[Segment]:
    """Parse "0.000:SIL 0.100:DH 0.149:AX": starts in seconds; each phone ends at the next start.

    Args:
        alignment: starts and phones, in order.
        duration: end of the last phone, in seconds; what starts there, rounded, lasts no time.

    Raises:
        ValueError: an entry is not `start:phone`, or the times go backwards.
    """
    starts, phones = [], []
    for entry in alignment.split():
        start, separator, phone = entry.partition(":")
        try:
            starts.append(float(start))
        except ValueError:
            separator = ""
        if not separator or not phone:
            raise ValueError(f"alignment entry {entry!r}, expected start:phone such as 0.149:AX.")
        phones.append(phone)
    if starts and duration < starts[-1] <= duration + ROUNDING:
        duration = starts[-1]
    ends = [*starts[1:], duration]
    segments = [Segment(*row) for row in zip(starts, ends, phones, strict=bool(starts))]
    for segment in segments:
        if segment.end < segment.start:
            raise ValueError(f"{segment} ends before it starts; sort the alignment by time.")
    return segments


def alignment_text(
    phones: Sequence[str],
    starts: Sequence[float],
    ends: Sequence[float],
    duration: float = math.inf,
) -> str:
    """Write phones (or words) and their times in seconds as `parse_alignment` reads them.

    What lies between two phones, and after the last one, is silence.

    Args:
        phones: labels without blanks in them.
        starts: of each.
        ends: of each.
        duration: of the audio, in seconds: no silence is written where the last phone ends there.

    Raises:
        ValueError: there are not as many starts and ends, the times go backwards, or a label is
            empty or holds a blank.
    """
    if not len(phones) == len(starts) == len(ends):
        raise ValueError(
            f"got {len(phones)} phones, {len(starts)} starts and {len(ends)} ends; expected as "
            "many."
        )
    entries, before = [], 0.0
    for phone, *times in zip(phones, starts, ends, strict=True):
        if not isinstance(phone, str) or phone.split() != [phone]:
            raise ValueError(f"the label {phone!r}; expected text without blanks, and not empty.")
        start, end = (round(seconds, 3) for seconds in times)
        if not before <= start <= end < math.inf:
            raise ValueError(
                f"{phone} from {start:g} to {end:g} s follows {before:g} s; expected times in "
                "order, none twice."
            )
        if start > before:
            entries.append(f"{before:.3f}:{SILENCE}")
        entries.append(f"{start:.3f}:{phone}")
        before = end
    if entries and before < round(duration, 3):
        entries.append(f"{before:.3f}:{SILENCE}")
    return " ".join(entries)


def segments_within(segments: Sequence[Segment], start: float, stop: float) -> list[Segment]:
    """Return what lies between two times in seconds, cut there, with times from `start`."""
    return [
        Segment(max(one.start, start) - start, min(one.end, stop) - start, one.phone)
        for one in segments
        if (one.start < stop and one.end > start) or one.start == one.end == start
    ]


def frame_phones(alignment: str, num_samples: int) -> list[str]:
    """Return the phone at the centre of each encoder frame, a list of (frames,).

    Frame i covers samples 320 i to 320 i + 400 at 16 kHz; its centre is 12.5 ms after its start.
    A frame before the first start counts as silence, and so does what aligners call so (sil, sp,
    in any case) or did not know (spn, <unk>).

    Raises:
        ValueError: the alignment cannot be parsed.
    """
    segments = parse_alignment(alignment, num_samples / SAMPLING_RATE)
    starts = [segment.start for segment in segments]
    labels = []
    for frame in range(num_frames(num_samples)):
        centre = (frame * FRAME_SHIFT + FRAME_WINDOW / 2) / SAMPLING_RATE
        index = bisect_right(starts, centre) - 1
        labels.append(known_phone(segments[index].phone) if index >= 0 else SILENCE)
    return labels


def known_phone(label: str) -> str:
    """Return a phone; silence by whatever name an aligner has for it, or for what it knows not."""
    return SILENCE if label.lower() in SILENT_PHONES else known_label(label)


def known_label(label: str) -> str:
    """Return a phone or word; silence for what an aligner writes where it knows none."""
    return SILENCE if is_unknown(label) else label
