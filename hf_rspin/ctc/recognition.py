"""What a CTC model hears in a split, and how wrong it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas
import torch
from accelerate.utils import gather_object
from peft import PeftModel
from transformers import PreTrainedModel, Wav2Vec2Processor

from hf_rspin.audio import SAMPLING_RATE, AudioError
from hf_rspin.ctc.splits import EvaluationSplit
from hf_rspin.data.skipped import SkippedFile, share_skipped, utterance_name
from hf_rspin.evaluation.measures.error_rates import character_error_rate, count_errors
from hf_rspin.utils import write_text


@dataclass(frozen=True)
class Transcription:
    """What was said in an utterance, what was heard, and the CTC loss per token."""

    id: str
    reference: str
    prediction: str
    loss: float


@torch.no_grad()
def recognize(
    model: PreTrainedModel | PeftModel,
    processor: Wav2Vec2Processor,
    split: EvaluationSplit,
    rank: int = 0,
    world_size: int = 1,
) -> list[Transcription]:
    """Decode a split greedily, one utterance at a time: a GroupNorm front end sees padding.

    Several processes share the work, and all of them get all of the result. Files that cannot be
    read are noted in `split.skipped`.

    Args:
        model: with a CTC head.
        processor: its feature extractor and tokenizer.
        split: what to decode.
        rank: of this process.
        world_size: number of processes.

    Raises:
        AudioError: a bad file where the split is strict, or no file can be read.
    """
    was_training = model.training
    model.eval()
    found = []
    for index in range(rank, len(split), world_size):
        try:
            waveform = split.utterances.read(index)
        except AudioError as error:
            key = split.utterances.ids[index]
            name = utterance_name(split.utterances.audio[index], key)
            split.skipped.add(SkippedFile(name, str(error)))
            continue
        found.append((index, _recognize_one(model, processor, split, index, waveform)))
    model.train(was_training)
    share_skipped(split.skipped)
    found = sorted(gather_object(found), key=lambda pair: pair[0])
    if not found:
        raise AudioError(
            f"none of the {len(split)} utterances of {split.name} can be read: check the folder "
            "(is it still mounted?)."
        )
    return [recognized for _, recognized in found]


def _recognize_one(
    model: PreTrainedModel | PeftModel,
    processor: Wav2Vec2Processor,
    split: EvaluationSplit,
    index: int,
    waveform: np.ndarray,
) -> Transcription:
    reference = split.references[index]
    inputs = processor.feature_extractor(
        waveform, sampling_rate=SAMPLING_RATE, return_tensors="pt", return_attention_mask=True
    ).to(model.device)
    labels = torch.tensor([processor.tokenizer(reference).input_ids], device=model.device)
    outputs = model(**inputs, labels=labels)
    classes = outputs.logits[0].argmax(dim=-1).tolist()  # (frames,)
    heard = " ".join(processor.tokenizer.decode(classes).split())
    return Transcription(split.utterances.ids[index], reference, heard, float(outputs.loss))


def error_rates(recognized: Sequence[Transcription], target: str) -> dict[str, float]:
    """Return word and character error rate of text, the phone error rate of phones."""
    references = [one.reference for one in recognized]
    predictions = [one.prediction for one in recognized]
    rate = count_errors(references, predictions).rate
    if target == "phones":
        return {"per": rate}
    return {"wer": rate, "cer": character_error_rate(references, predictions)}


def score(recognized: Sequence[Transcription], target: str) -> dict[str, float]:
    """Return the error rates, the mean loss and the number of utterances."""
    loss = float(np.mean([one.loss for one in recognized]))
    return {**error_rates(recognized, target), "loss": loss, "utterances": len(recognized)}


def save_predictions(recognized: Sequence[Transcription], file: str | Path) -> None:
    """Write id, reference and prediction of every utterance as csv, whole or not at all."""
    columns = ["id", "reference", "prediction"]
    rows = [[getattr(one, name) for name in columns] for one in recognized]
    write_text(file, pandas.DataFrame(rows, columns=columns).to_csv(index=False))
