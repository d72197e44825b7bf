"""Pronunciation lexicons: the phones of a text, word by word."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import dropwhile
from pathlib import Path

from hf_rspin.data.phone_labels import parse_phones
from hf_rspin.data.transcripts import APOSTROPHES, TranscriptRules, lower

# with a point or an exponent: in X-SAMPA, 2 and 9 are vowels
_PROBABILITY = re.compile(r"-?(\d+\.\d*|\.\d+)(e[-+]?\d+)?|\d+e[-+]?\d+", re.IGNORECASE)
_NUMBER = re.compile(rf"{_PROBABILITY.pattern}|-?\d+", re.IGNORECASE)
_SILENCES = frozenset(["sil", "sp", "spn", "nsn", "<eps>", "<sil>", "<spn>"])
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

        Comments (";;;", "#"), the numbers of further pronunciations ("READ(1)") and columns of
        probabilities (Montreal Forced Aligner, Kaldi) are understood; <unk>, [noise] and words of
        silence alone are left out. The first pronunciation of a word counts, as in SUPERB.

        Args:
            path: UTF-8 or UTF-16, or Latin-1 as old releases of CMUdict.
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
        similar: dict[str, tuple[str, ...]] = {}  # 'cause, of which cause is a word of its own
        for written, given in _lines(path):
            phones = tuple(parse_phones(given, strip_stress))
            word = _words(written)
            if not word or " " in word or _SILENCES.issuperset(map(str.lower, phones)):
                continue
            is_same = lower(written.translate(APOSTROPHES)) == word
            (found if is_same else similar).setdefault(word, phones)
        found = similar | found
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


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the words as they are written, and their phones."""
    for line in _text(path).split("\n"):
        if line.startswith((";;;", "#", "<", "[", "{", "!")):
            continue  # comments, and what is no word: <unk>, [laughter], {SL}, !SIL
        columns = re.sub(r"\s#.*", "", line).strip().split("\t")
        if len(columns) > 2 and all(_NUMBER.fullmatch(one.strip()) for one in columns[1:-1]):
            columns = [columns[0], columns[-1]]  # probabilities between word and phones
        word, *phones = " ".join(columns).split() or [""]
        yield re.sub(r"\(\d+\)$", "", word), " ".join(dropwhile(_PROBABILITY.fullmatch, phones))


def _text(path: Path) -> str:
    content = path.read_bytes()
    encodings = ["utf-16"] if content.startswith((b"\xff\xfe", b"\xfe\xff")) else ["utf-8-sig"]
    for encoding in [*encodings, "cp1252"]:
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    return content.decode("latin-1")
