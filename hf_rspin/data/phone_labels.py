"""The `phones` column of a corpus: tokens, stress, and the vocabulary of a CTC head."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

WORD_SEPARATOR = "|"
BLANK = 0
ARPABET_VOWELS = frozenset("AA AE AH AO AW AX AY EH ER EY IH IY OW OY UH UW".split())
SPECIAL_TOKENS = frozenset("<pad> <unk> <s> </s> <blank> [PAD] [UNK]".split())  # of tokenizers
_UNKNOWN = {token.lower() for token in SPECIAL_TOKENS} | {"spn", "<spn>"}


def parse_phones(text: str, strip_stress: bool = True) -> list[str]:
    """Split "W IY0 | K AO0 L" into phones; word separators and what is no phone are dropped.

    Args:
        text: phones separated by blanks.
        strip_stress: drop the digit of ARPAbet vowels (IY0 -> IY), 39 phones instead of 69.
    """
    phones = [p for p in text.split() if p != WORD_SEPARATOR and not is_unknown(p)]
    return [without_stress(phone) for phone in phones] if strip_stress else phones


def is_unknown(label: str) -> bool:
    """Say whether a label is what is written for no known phone or word: <unk>, <pad>, spn."""
    return label.lower() in _UNKNOWN


def without_stress(phone: str) -> str:
    """Drop the stress of an ARPAbet vowel; the tones of a1 and a2 are no stress, and stay."""
    return phone[:-1] if phone[-1:] in "012" and phone[:-1] in ARPABET_VOWELS else phone


@dataclass(frozen=True)
class PhoneVocabulary:
    """Phones of a training corpus in alphabetical order; id 0 is the CTC blank."""

    phones: tuple[str, ...]

    @classmethod
    def build(cls, sequences: Iterable[Sequence[str]]) -> PhoneVocabulary:
        """Collect the phones that occur.

        Raises:
            ValueError: none occurs.
        """
        phones = tuple(sorted({phone for sequence in sequences for phone in sequence}))
        if not phones:
            raise ValueError("the training utterances hold no phone; fill the `phones` column.")
        return cls(phones)

    def __len__(self) -> int:
        """Return the number of CTC classes, the blank included."""
        return len(self.phones) + 1

    def encode(self, sequence: Sequence[str]) -> list[int]:
        """Return ids from 1.

        Raises:
            ValueError: a phone is not in the vocabulary.
        """
        table = {phone: index for index, phone in enumerate(self.phones, start=1)}
        unknown = sorted(set(sequence) - set(table))
        if unknown:
            raise ValueError(f"phones {unknown} are not among the {len(table)} of training.")
        return [table[phone] for phone in sequence]

    def decode_greedy(self, classes: Iterable[int]) -> list[str]:
        """Merge equal neighbours, then drop blanks: the phones of a best path."""
        phones, previous = [], BLANK
        for label in classes:
            if label not in (BLANK, previous):
                phones.append(self.phones[label - 1])
            previous = label
        return phones
