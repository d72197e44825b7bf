"""The classes of a CTC head, as a tokenizer that any process with transformers can load."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from transformers import (
    PreTrainedTokenizer,
    Wav2Vec2CTCTokenizer,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2PhonemeCTCTokenizer,
    Wav2Vec2Processor,
)

from hf_rspin.data.transcripts import WORD_DELIMITER

PAD, UNKNOWN = "<pad>", "<unk>"  # the pad token is the CTC blank


def build_tokenizer(transcripts: Iterable[str], target: str) -> PreTrainedTokenizer:
    """Return the tokenizer of the characters or phones that occur in training.

    Id 0 is the CTC blank, the last one stands for what is unknown, which training never meets.
    Phones get the tokenizer that puts blanks between them; it needs `phonemizer` only to make
    phones of text, which is switched off.

    Args:
        transcripts: tokens separated by blanks, as `TranscriptRules` makes them.
        target: "text" or "phones".

    Raises:
        ValueError: no transcript holds anything.
    """
    if target == "phones":
        symbols = {phone for transcript in transcripts for phone in transcript.split()}
        first: tuple[str, ...] = (PAD,)
    else:
        symbols = {character for transcript in transcripts for character in transcript}
        first = (PAD, WORD_DELIMITER)
    symbols -= {*first, UNKNOWN, " "}
    if not symbols:
        raise ValueError(f"no training utterance has a transcript; fill the column {target}.")
    vocabulary = {symbol: number for number, symbol in enumerate((*first, *sorted(symbols)))}
    vocabulary[UNKNOWN] = len(vocabulary)
    return _tokenizer(vocabulary, target)


def _tokenizer(vocabulary: dict[str, int], target: str) -> PreTrainedTokenizer:
    special = {"pad_token": PAD, "unk_token": UNKNOWN, "bos_token": None, "eos_token": None}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "vocab.json"
        file.write_text(json.dumps(vocabulary), encoding="utf-8")
        if target == "phones":
            return Wav2Vec2PhonemeCTCTokenizer(str(file), do_phonemize=False, **special)
        return Wav2Vec2CTCTokenizer(str(file), word_delimiter_token=WORD_DELIMITER, **special)


def save_processor(processor: Wav2Vec2Processor, folder: str | Path) -> None:
    """Write tokenizer and feature extractor, the latter also where older versions look for it."""
    processor.save_pretrained(folder)
    feature_extractor: Wav2Vec2FeatureExtractor = processor.feature_extractor
    feature_extractor.save_pretrained(folder)


def outside_vocabulary(
    transcripts: Iterable[str], tokenizer: PreTrainedTokenizer, target: str
) -> Counter[str]:
    """Count the characters or phones of `transcripts` that the tokenizer does not know."""
    known = {*tokenizer.get_vocab(), " "} - {PAD, UNKNOWN}
    counts: Counter[str] = Counter()
    for transcript in transcripts:
        tokens: Sequence[str] = transcript.split() if target == "phones" else transcript
        counts.update(token for token in tokens if token not in known)
    return counts


def frames_needed(labels: Sequence[int]) -> int:
    """Return the least number of frames that CTC aligns to `labels`.

    Equal neighbours need a blank between them.
    """
    return len(labels) + sum(a == b for a, b in zip(labels, labels[1:], strict=False))
