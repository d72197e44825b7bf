"""What is to be recognised: the column `text` or `phones` of a corpus, brought into one form."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import datasets

from hf_rspin.data.phone_labels import SPECIAL_TOKENS, parse_phones

APOSTROPHES = str.maketrans("\u2019\u02bc\u2018\u00b4`", "'''''")
VARIANTS = frozenset(map(chr, range(0xFE00, 0xFE10)))  # they choose the shape of a character
WORD_DELIMITER = "|"
TARGETS = ("text", "phones")


@dataclass(frozen=True)
class TranscriptRules:
    """Turn a cell of the corpus into tokens separated by blanks.

    Phones: word separators are dropped, and the stress of ARPAbet vowels where `strip_stress` says
    so. Text, in this order: tokens like <pad> are dropped; Unicode form NFC; characters that cannot
    be seen are dropped; typographic apostrophes become "'"; without
    `keep_punctuation`, every punctuation mark and symbol becomes a blank, but for an apostrophe
    between two letters; "|" always does; `case`; one blank between words. Numbers stay as digits.

    Args:
        target: "text" or "phones".
        case: "lower", "upper" or "keep".
        keep_punctuation: leave punctuation and symbols in the text.
        strip_stress: IY0 -> IY.
    """

    target: str
    case: str = "lower"
    keep_punctuation: bool = False
    strip_stress: bool = True

    def __call__(self, cell: str | None) -> str:
        """Return the transcript of one utterance; "" where the cell is empty."""
        if cell is None or cell != cell:  # NaN
            return ""
        if self.target == "phones":
            return " ".join(parse_phones(str(cell), self.strip_stress))
        text = without_invisible(without_special_tokens(str(cell)))
        text = unicodedata.normalize("NFC", text).translate(APOSTROPHES)
        if not self.keep_punctuation:
            text = _without_punctuation(text)
        text = text.replace(WORD_DELIMITER, " ")
        if self.case != "keep":
            text = lower(text) if self.case == "lower" else text.upper().translate(APOSTROPHES)
        return " ".join(unicodedata.normalize("NFC", text).split())

    def read(self, corpus: datasets.Dataset) -> list[str]:
        """Return the transcript of every row.

        Raises:
            ValueError: the corpus lacks the column.
        """
        choose_target(corpus.column_names, self.target)
        return [self(cell) for cell in corpus[self.target]]


def choose_target(columns: Sequence[str], wanted: str = "auto") -> str:
    """Return the column to recognise.

    Args:
        columns: of the corpus.
        wanted: "text", "phones", or "auto" for the one that is there.

    Raises:
        ValueError: the column is not there, or both are and none was chosen.
    """
    found = [name for name in TARGETS if name in columns]
    if wanted in found or (wanted == "auto" and len(found) == 1):
        return found[0] if wanted == "auto" else wanted
    if wanted == "auto" and found:
        raise ValueError("the corpus has both columns, text and phones: say which with --target.")
    missing = "neither a column text nor phones" if wanted == "auto" else f"no column {wanted}"
    mend = f"pass --target {found[0]}" if found else "name that of the transcripts by --text_column"
    raise ValueError(f"the corpus has {missing}; it has {', '.join(columns)}: {mend}.")


def without_special_tokens(text: str) -> str:
    """Drop <pad>, <unk> and the like: nobody says them, and tokenizers take them for their own."""
    return re.sub("|".join(map(re.escape, sorted(SPECIAL_TOKENS))), " ", text)


def without_invisible(text: str) -> str:
    """Drop what has no sound and no width: zero-width and soft characters, marks of direction.

    A zero-width space separates words.
    """
    text = re.sub("[\u200b\u2028\u2029]", " ", text)
    return "".join(
        character
        for character in text
        if character.isspace()
        or not (unicodedata.category(character) in ("Cf", "Cc") or character in VARIANTS)
    )


def lower(text: str) -> str:
    """Lower the case; the Turkish capital I with a dot gives i, without a dot of its own."""
    return text.replace("\u0130", "i").lower()


def _without_punctuation(text: str) -> str:
    kept = []
    for place, character in enumerate(text):
        before, after = text[place - 1 : place], text[place + 1 : place + 2]
        if character == "'" and before.isalpha() and after.isalpha():
            kept.append(character)
        elif unicodedata.category(character)[0] in "PS":
            kept.append(" ")
        else:
            kept.append(character)
    return "".join(kept)
