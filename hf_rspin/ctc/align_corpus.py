"""Times of the phones or words of a corpus, by forced alignment with a fine-tuned CTC model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import PeftModel
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizer,
    Wav2Vec2PhonemeCTCTokenizer,
    Wav2Vec2Processor,
)

from hf_rspin.adapters import adapted_model
from hf_rspin.audio import SAMPLING_RATE, read_audio
from hf_rspin.ctc.forced_alignment import SPREAD, forced_align
from hf_rspin.ctc.results import RESULTS
from hf_rspin.ctc.vocabulary import PAD, UNKNOWN
from hf_rspin.data.phone_labels import WORD_SEPARATOR, parse_phones
from hf_rspin.data.transcripts import WORD_DELIMITER, TranscriptRules
from hf_rspin.models.encoder import check_frame_rate, num_valid_frames
from hf_rspin.models.frame_grid import ENCODER_FRAMES
from hf_rspin.utils import read_json, tensor_hash


class NotAlignedError(ValueError):
    """An utterance that cannot be aligned; the message says why."""


@dataclass(frozen=True)
class Spoken:
    """What is said in an utterance.

    Attributes:
        tokens: as the model knows them: phones, or characters and "|" between words.
        written: phones as the corpus writes them, with stress; none for text.
        words: (name, first token, token after the last) of each; none where not known.
    """

    tokens: list[str]
    written: list[str]
    words: list[tuple[str, int, int]]


def read_rules(folder: Path, tokenizer: PreTrainedTokenizer) -> TranscriptRules:
    """Return how the transcripts of a fine-tuned model were read.

    Its results.json says it (beside an adapter: that of the run). Without one: phones or text by
    the tokenizer, case and stress by its tokens.
    """
    for place in (folder, folder.resolve().parent):
        found = (read_json(place / RESULTS) or {}).get("transcripts")
        if found:
            return TranscriptRules(**found)
    tokens = set(tokenizer.get_vocab()) - {PAD, UNKNOWN}
    if isinstance(tokenizer, Wav2Vec2PhonemeCTCTokenizer):
        return TranscriptRules("phones", strip_stress=tokens == _unstressed(tokens))
    joined = "".join(tokens)
    case = "lower" if joined == joined.lower() else "upper"
    return TranscriptRules("text", case if joined in (joined.lower(), joined.upper()) else "keep")


def _unstressed(tokens: set[str]) -> set[str]:
    return {phone for token in tokens for phone in parse_phones(token)}


def spoken_in(row: dict[str, Any], rules: TranscriptRules) -> Spoken:
    """Return what a row of a corpus says, by its column `phones` or `text`.

    Words of phones are known where "|" separates them. They are called as in the column `text`; an
    utterance has none where that holds another number of words. Without such a column they are
    called by their phones, joined by "_".

    Args:
        row: of a corpus.
        rules: which column is read, and how.
    """
    if rules.target == "text":
        return _spoken_text(rules(row["text"]).split())
    cell = str(row["phones"] or "")
    written = parse_phones(cell, strip_stress=False)
    groups = [parse_phones(part, rules.strip_stress) for part in cell.split(WORD_SEPARATOR)]
    groups = [group for group in groups if group]
    names = ["_".join(group) for group in groups]
    if "text" in row:
        names = TranscriptRules("text", "keep")(row["text"]).split()
    if WORD_SEPARATOR not in cell.split() or len(names) != len(groups):
        names = []
    ends = np.cumsum([len(group) for group in groups]).tolist()
    words = [
        (name, end - len(group), end) for name, group, end in zip(names, groups, ends, strict=False)
    ]
    return Spoken([phone for group in groups for phone in group], written, words)


def _spoken_text(names: Sequence[str]) -> Spoken:
    tokens: list[str] = []
    words = []
    for name in names:
        tokens += [WORD_DELIMITER] if tokens else []
        words.append((name, len(tokens), len(tokens) + len(name)))
        tokens += list(name)
    return Spoken(tokens, [], words)


class CorpusAligner:
    """Aligns utterances with a model of `hf-rspin finetune-ctc`, one at a time.

    Args:
        model: with a CTC head, in eval mode, on its device.
        processor: its feature extractor and tokenizer.
        rules: how its transcripts were read, see `read_rules`.
        spread: see `forced_align`.

    Raises:
        ValueError: its frames are not every 20 ms.
    """

    def __init__(
        self,
        model: PreTrainedModel | PeftModel,
        processor: Wav2Vec2Processor,
        rules: TranscriptRules,
        spread: int | None = SPREAD,
    ):
        self.model, self.processor, self.rules, self.spread = model, processor, rules, spread
        self.config = adapted_model(model).config
        check_frame_rate(self.config)
        self.classes = processor.tokenizer.get_vocab()
        self.settings = {"weights": tensor_hash(model.state_dict().items()), "spread": spread,
                         "rules": asdict(rules), "classes": self.classes}  # fmt: skip

    def key(self, row: dict[str, Any]) -> str:
        """Return a hash of all that decides the line of a row, but for its audio."""
        content = [self.settings, asdict(spoken_in(row, self.rules))]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    def align(self, row: dict[str, Any], file_name: str) -> dict[str, Any]:
        """Return the line of `alignments.jsonl` of a row.

        Times are in seconds, half-way between the centres of two frames; `score` is the mean log
        probability per frame of the path, `aligner` is `key`. A model of characters gives words
        only.

        Raises:
            NotAlignedError: no transcript, a token that the model does not know, too few frames.
            AudioError: the audio cannot be read.
        """
        spoken = spoken_in(row, self.rules)
        labels = self._labels(spoken)
        waveform = read_audio(row["audio"])
        try:
            found = forced_align(
                self._log_probabilities(waveform), labels,
                self.processor.tokenizer.pad_token_id, self.spread,
            )  # fmt: skip
        except ValueError as error:
            raise NotAlignedError(str(error)) from error
        seconds = len(waveform) / SAMPLING_RATE
        starts, ends = (boundaries(frames, seconds) for frames in (found.starts, found.ends))
        line: dict[str, Any] = {"file_name": file_name}
        if spoken.written:
            line |= {"phones": spoken.written, "phone_starts": starts, "phone_ends": ends}
        if spoken.words:
            line |= {
                "words": [name for name, _, _ in spoken.words],
                "word_starts": [starts[first] for _, first, _ in spoken.words],
                "word_ends": [ends[after - 1] for _, _, after in spoken.words],
            }
        return line | {"score": round(found.score, 4), "aligner": self.key(row)}

    def _labels(self, spoken: Spoken) -> list[int]:
        if not spoken.tokens:
            raise NotAlignedError(f"the column {self.rules.target} is empty.")
        known = set(self.classes) - {PAD, UNKNOWN}
        unknown = list(dict.fromkeys(one for one in spoken.tokens if one not in known))
        if unknown:
            raise NotAlignedError(
                f"it holds {', '.join(map(repr, unknown))}, which the model was not trained on: "
                "mend the transcript, or train on a corpus that has it."
            )
        return [self.classes[token] for token in spoken.tokens]

    @torch.no_grad()
    def _log_probabilities(self, waveform: np.ndarray) -> np.ndarray:
        inputs = self.processor.feature_extractor(
            waveform, sampling_rate=SAMPLING_RATE, return_tensors="pt", return_attention_mask=True
        ).to(self.model.device)
        logits = self.model(**inputs).logits[0, : num_valid_frames(len(waveform), self.config)]
        return logits.float().log_softmax(dim=-1).cpu().numpy()


def boundaries(frames: np.ndarray, seconds: float) -> list[float]:
    """Return where frames start, half-way to the centre of the one before; the first at 0.

    Args:
        frames: (labels,) numbers of frames.
        seconds: duration of the audio, which no time exceeds.
    """
    grid = ENCODER_FRAMES
    times = (grid.offset + grid.shift * (np.asarray(frames) - 0.5)) / SAMPLING_RATE
    times = np.where(np.asarray(frames) == 0, 0.0, times)
    return [float(round(time, 4)) for time in np.minimum(times, seconds).tolist()]
