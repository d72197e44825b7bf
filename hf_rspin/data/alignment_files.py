"""Phone and word times in files beside the audio: TextGrid of Praat, .phn and .wrd of TIMIT."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from praatio import textgrid
from praatio.utilities.errors import PraatioException

from hf_rspin.audio_files import file_length
from hf_rspin.data.phone_times import SILENT_PHONES, Segment

# of words only what nobody says
SILENT_WORDS = frozenset(["", "<sil>", "<eps>"])
TEXT_GRID, PHONE_FILE, WORD_FILE = ".textgrid", ".phn", ".wrd"  # in any case
SUFFIXES = (TEXT_GRID, PHONE_FILE, WORD_FILE)
# what the parser of praatio raises for files that are none
_UNREADABLE = (PraatioException, ValueError, LookupError, AttributeError, TypeError, OSError)


class UtteranceTimes(NamedTuple):
    """Segments of phones and of words in order, without silence; empty where not known."""

    phones: list[Segment]
    words: list[Segment]
    score: float | None = None


class FilesBeside:
    """Finds files of times by the stem of the audio; every folder is listed once."""

    def __init__(self) -> None:
        self._stems: dict[Path, dict[str, dict[str, Path]]] = {}

    def __call__(self, audio: Path) -> dict[str, Path]:
        """Return the files beside `audio`, by their suffix in lower case."""
        folder = audio.parent
        if folder not in self._stems:
            self._stems[folder] = _stems_of(folder)
        return self._stems[folder].get(audio.stem, {})


def _stems_of(folder: Path) -> dict[str, dict[str, Path]]:
    stems: dict[str, dict[str, Path]] = {}
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return {}
    for name in names:
        stem, suffix = os.path.splitext(name)
        if suffix.lower() in SUFFIXES:
            stems.setdefault(stem, {})[suffix.lower()] = folder / name
    return stems


def read_files(files: dict[str, Path], audio: Path) -> UtteranceTimes:
    """Read the TextGrid where there is one, else .phn and .wrd.

    Args:
        files: see `FilesBeside`.
        audio: whose times they are.

    Raises:
        ValueError: one cannot be read, in a sentence that names it.
        AudioError: the header of the audio cannot be read.
    """
    if TEXT_GRID in files:
        return read_textgrid(files[TEXT_GRID])
    rate = file_length(audio).rate
    phones, words = (
        read_timit(files[suffix], rate) if suffix in files else []
        for suffix in (PHONE_FILE, WORD_FILE)
    )
    overlap_cut = [
        one._replace(end=min(one.end, after.start)) if one.start <= after.start else one
        for one, after in zip(words, words[1:], strict=False)
    ]  # words of TIMIT share a phone here and there
    return UtteranceTimes(spoken(phones), spoken([*overlap_cut, *words[-1:]], SILENT_WORDS))


def read_textgrid(file: Path) -> UtteranceTimes:
    """Read the tiers called phones and words, in any case, of a TextGrid.

    The Montreal Forced Aligner puts the speaker in front ("A - phones") where a file has several:
    that tier is taken where it is the only one.

    Raises:
        ValueError: it cannot be read, or has neither tier.

    Example:
        >>> grid = textgrid.Textgrid()
        >>> grid.addTier(textgrid.IntervalTier("words", [(0.31, 0.64, "HELLO")], 0, 1))
        >>> grid.save("0001.TextGrid", "long_textgrid", includeBlankSpaces=True)
        >>> read_textgrid(Path("0001.TextGrid")).words[0]
        Segment(start=0.31, end=0.64, phone='HELLO')
    """
    try:
        grid = textgrid.openTextgrid(str(file), False, "silence", "rename")
    except _UNREADABLE as error:
        raise ValueError(
            f"{file} could not be read as a TextGrid ({type(error).__name__}: "
            f"{' '.join(str(error).split())}); expected one that Praat opens: save it again."
        ) from error
    tiers = {kind: _tier(file, grid, kind) for kind in ("phones", "words")}
    if tiers["phones"] is None and tiers["words"] is None:
        raise ValueError(
            f"{file} has the tiers {', '.join(grid.tierNames) or 'none'}; expected `phones` or "
            "`words`: rename them."
        )
    phones, words = (
        [Segment(float(x.start), float(x.end), x.label) for x in tier.entries] if tier else []
        for tier in tiers.values()
    )
    return UtteranceTimes(spoken(phones), spoken(words, SILENT_WORDS))


def _tier(
    file: Path, grid: textgrid.Textgrid, kind: str
) -> textgrid.IntervalTier | None:
    names = [name for name in grid.tierNames if name.lower() == kind]
    names = names or [name for name in grid.tierNames if name.lower().endswith(f"- {kind}")]
    if len(names) > 1:
        raise ValueError(
            f"{file} has several tiers of {kind} ({', '.join(names)}); expected one speaker in "
            "a file: leave one of them."
        )
    tier = grid.getTier(names[0]) if names else None
    if tier is not None and not isinstance(tier, textgrid.IntervalTier):
        raise ValueError(f"{file}: {names[0]} is a tier of points; expected one of intervals.")
    return tier


def read_timit(file: Path, rate: int) -> list[Segment]:
    """Read lines "start end label", in samples.

    Args:
        file: .phn or .wrd.
        rate: of the audio beside it, in Hz.

    Raises:
        ValueError: a line is otherwise, or the file is not text.
    """
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise ValueError(f"{file} could not be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is no text in UTF-8; save it again.") from error
    segments = []
    for number, line in enumerate(lines, start=1):
        fields = line.split(maxsplit=2)
        if len(fields) == 3 and all(field.isdecimal() for field in fields[:2]):
            segments.append(Segment(int(fields[0]) / rate, int(fields[1]) / rate, fields[2]))
        elif fields:
            raise ValueError(
                f"{file}, line {number} is {line[:60]!r}; expected start and end in samples and a "
                "label, such as 0 3050 h#."
            )
    return segments


def spoken(
    segments: Sequence[Segment], silent: frozenset[str] = SILENT_PHONES
) -> list[Segment]:
    """Leave out silence and what lasts no time; blanks within a label become "_"."""
    labelled = [one._replace(phone="_".join(one.phone.split())) for one in segments]
    return [one for one in labelled if one.phone.lower() not in silent and one.start != one.end]
