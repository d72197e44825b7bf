"""Labels of a recording divided among its parts, as far as times say what belongs to which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hf_rspin.data.phone_labels import parse_phones, without_stress
from hf_rspin.data.phone_times import (
    ROUNDING,
    SILENCE,
    Segment,
    alignment_text,
    known_label,
    known_phone,
    parse_alignment,
    segments_within,
)

TIMES = ("alignment", "word_alignment")  # starts in seconds, as text
SEQUENCES = {"phones": "alignment", "text": "word_alignment"}  # divided by these times
# What belongs to a whole recording and has no times says nothing about a part of it.
OF_WHOLES = ("segments", "word_segments", "sentence", "transcript", "transcription", "words")


def labels_of_parts(
    row: Mapping[str, Any], places: Sequence[tuple[float, float]], duration: float
) -> list[dict[str, Any]]:
    """Return the columns of labels of each part of a recording.

    Times of phones and words are cut at the borders and count from the start of the part. `phones`
    and `text` are divided where the alignment has the same phones (words); what lies across a
    border belongs to the part that has its middle. Where it has others, or is missing, the parts
    have none. Times that cannot be read, or go on beyond the audio, stay as they are: those who
    read them refuse them.

    Args:
        row: of the recording; columns that it lacks, or that hold nothing, are not there.
        places: start and stop of each part, in seconds from the start of the recording.
        duration: of the recording, in seconds.

    Returns:
        Columns to put into each part.

    Example:
        >>> row = {"alignment": "0.000:SIL 0.500:AH 0.700:B 1.200:SIL", "phones": "AH0 B"}
        >>> for labels in labels_of_parts(row, [(0.0, 0.8), (0.8, 2.0)], 2.0):
        ...     print(labels)
        {'alignment': '0.000:SIL 0.500:AH 0.700:B', 'phones': 'AH0'}
        {'alignment': '0.000:B 0.400:SIL', 'phones': 'B'}
    """
    found: list[dict[str, Any]] = [{} for _ in places]
    for name in {*TIMES, *SEQUENCES, *OF_WHOLES} & set(row):
        for labels in found:
            labels[name] = None
    for name in TIMES:
        if not isinstance(row.get(name), str):
            continue
        segments = _segments(row[name], duration)
        for labels, place in zip(found, places, strict=True):
            labels[name] = row[name] if segments is None else _cut(segments, *place)
    for name, times in SEQUENCES.items():
        if not (isinstance(row.get(name), str) and isinstance(row.get(times), str)):
            continue
        segments = _segments(row[times], duration)
        shares = segments and _divided(name, row[name], segments, places)
        for labels, share in zip(found, shares or (), strict=False):
            labels[name] = share
    return [{name: labels[name] for name in sorted(labels)} for labels in found]


def _segments(text: str, duration: float) -> list[Segment] | None:
    """Parse an alignment; None where it is damaged or goes on beyond the audio."""
    try:
        segments = parse_alignment(text, float("inf"))
    except ValueError:
        return None
    if segments and segments[-1].start > duration + ROUNDING:
        return None
    return [one._replace(end=max(one.start, min(one.end, duration))) for one in segments]


def _cut(segments: Sequence[Segment], start: float, stop: float) -> str:
    """Write the segments within a part, from its start; silence where there are none."""
    inside = segments_within(segments, start, stop)
    if not inside:
        return f"0.000:{SILENCE}" if segments else ""
    starts, ends, labels = zip(*inside, strict=True)
    return alignment_text(labels, starts, ends, stop - start)


def _divided(
    name: str, text: str, segments: Sequence[Segment], places: Sequence[tuple[float, float]]
) -> list[str] | None:
    """Divide phones or words by times that have the same ones; None where they have others."""
    is_phones = name == "phones"
    if is_phones:
        spoken = [one for one in segments if known_phone(one.phone) != SILENCE]
        labels = [
            one for one in parse_phones(text, strip_stress=False) if known_phone(one) != SILENCE
        ]
    else:  # somebody may say "silence"; <eps> and the like are no words
        spoken = [one for one in segments if known_label(one.phone) != SILENCE and _bare(one.phone)
                  and not one.phone.startswith("<")]  # fmt: skip
        labels = _words(text)
    same = without_stress if is_phones else _bare
    if not labels or list(map(same, labels)) != [same(one.phone) for one in spoken]:
        return None
    middles = [(one.start + one.end) / 2 for one in spoken]
    last = len(places) - 1
    return [
        " ".join(
            label for label, middle in zip(labels, middles, strict=True)
            if (start <= middle or number == 0) and (middle < stop or number == last)
        )
        for number, (start, stop) in enumerate(places)
    ]  # fmt: skip


def _words(text: str) -> list[str]:
    """Split a text into words; what is punctuation alone stays with the word beside it."""
    words: list[str] = []
    for word in text.split():
        if not words or (_bare(word) and _bare(words[-1])):
            words.append(word)
        else:
            words[-1] += f" {word}"
    return words


def _bare(word: str) -> str:
    """Return a word without case and punctuation."""
    return "".join(letter for letter in word.casefold() if letter.isalnum())
