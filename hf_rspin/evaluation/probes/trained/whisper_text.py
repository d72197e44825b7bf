"""English texts in the form that Whisper's authors score: numbers, contractions, spellings.

`english_spellings.json` is from openai-whisper (MIT licence, beside it).
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers.models.whisper.english_normalizer import EnglishTextNormalizer


def whisper_normalized(text: str) -> str:
    """Return an English text in Whisper's form (2212.04356, appendix C), words by single blanks.

    "colour" becomes "color", "can't" "can not", "twenty one" "21"; "uh" and the like are dropped,
    and punctuation, case and accents.

    Example:
        >>> whisper_normalized("Mr. Brown, uh, can't see twenty-one colours!")
        'mister brown can not see 21 colors'
    """
    return " ".join(_normalizer()(text).split())


@cache
def _normalizer() -> EnglishTextNormalizer:
    from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

    file = Path(__file__).with_name("english_spellings.json")
    return EnglishTextNormalizer(json.loads(file.read_text(encoding="utf-8")))
