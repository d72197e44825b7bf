"""Pronunciation lexicons: the phones of a text, word by word."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import dropwhile
from pathlib import Path

from hf_rspin.data.phone_labels import parse_phones
from hf_rspin.data.transcripts import TranscriptRules

_PROBABILITY = re.compile(r"\d*\.\d+")  # with a point: in X-SAMPA, 2 and 9 are vowels
_words = TranscriptRules("text")  # one spelling for lexicon and corpus


@dataclass(frozen=True)
class Lexicon:
    """Words, and the first pronunciation that a lexicon gives of each.

    Args:
        pronunciations: phones by word in lower case.
    """

    pronunciations: dict[str, tuple[str, ...]]

    @classmethod
    def read(cls, path: str | Path, strip_stress: bool = True) -> Lexicon:
        """Read a text file with a word and its phones per line, such as CMUdict or LibriSpeech's.

        Comments (";;;" and, after a blank, "#"), the numbers of further pronunciations
        ("READ(1)") and columns of probabilities (Montreal Forced Aligner) are understood; the first
        pronunciation of a word counts, as in SUPERB.

        Args:
            path: UTF-8, or Latin-1 as old releases of CMUdict.
            strip_stress: see `parse_phones`.

        Raises:
            ValueError: there is no such file, or no line holds a word and phones.

        Example:
            >>> _ = Path("words.txt").write_text("HELLO  HH AH0 L OW1\\nHELLO(1)  HH EH0 L OW1\\n")
            >>> Lexicon.read("words.txt").phones_of("Hello!")
            ['HH', 'AH', 'L', 'OW']
        """
        path = Path(path)
        if not path.is_file():
            raise ValueError(
                f"{path} does not exist; expected a lexicon: a text file with a word and its "
                "phones on each line."
            )
        found: dict[str, tuple[str, ...]] = {}
        for word, phones in _lines(path):
            if phones:
                found.setdefault(word, tuple(parse_phones(" ".join(phones), strip_stress)))
        if not found:
            raise ValueError(
                f"{path} holds no pronunciation; expected lines such as HELLO HH AH0 L OW1."
            )
        return cls(found)

    def phones_of(self, text: str) -> list[str] | None:
        """Return the phones of a text; None where it holds a word that the lexicon lacks."""
        words = _words(text).split()
        if not all(word in self.pronunciations for word in words):
            return None
        return [phone for word in words for phone in self.pronunciations[word]]

    def unknown(self, texts: Sequence[str]) -> Counter[str]:
        """Return the words of some texts that the lexicon lacks, and how often they come."""
        words = (word for text in texts for word in _words(text).split())
        return Counter(word for word in words if word not in self.pronunciations)


def _lines(path: Path) -> Iterator[tuple[str, list[str]]]:
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    for line in text.splitlines():
        fields = [] if line.startswith(";;;") else re.sub(r"\s#.*", "", line).split()
        if len(fields) < 2 or fields[0].startswith("<"):
            continue
        word = _words(re.sub(r"\(\d+\)$", "", fields[0]))
        if word and " " not in word:
            yield word, list(dropwhile(_PROBABILITY.fullmatch, fields[1:]))
