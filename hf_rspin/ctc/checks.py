"""Check a CTC fine-tune before its first step."""

from __future__ import annotations

import logging

import numpy as np
import torch
from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizer

from hf_rspin.adapters import adapted_model
from hf_rspin.audio import SAMPLING_RATE
from hf_rspin.ctc.splits import EvaluationSplit, TrainSplit
from hf_rspin.ctc.vocabulary import frames_needed, outside_vocabulary
from hf_rspin.data.checks import check_batches
from hf_rspin.training.trainer import SpeechTrainer

logger = logging.getLogger(__name__)

SYMBOLS_SHOWN = 10


def leave_out_unalignable(
    split: TrainSplit, labels: list[list[int]], model: PreTrainedModel | PeftModel
) -> list[list[int]]:
    """Drop utterances with more labels than CTC can place in their frames; return those kept.

    Raises:
        ValueError: no utterance is left.
    """
    samples = np.rint(np.asarray(split.corpus["duration"], dtype=float) * SAMPLING_RATE)
    frames = adapted_model(model)._get_feat_extract_output_lengths(
        torch.from_numpy(samples.astype(np.int64))
    )
    needed = np.array([frames_needed(row) for row in labels])
    bad = needed > frames.numpy()
    if bad.all():
        raise ValueError(
            f"all {len(bad)} training utterances have more labels than frames: do the transcripts "
            "belong to this audio?"
        )
    split.leave_out(bad, "have more labels than frames")
    return [row for row, dropped in zip(labels, bad, strict=True) if not dropped]


def count_unknown(
    split: EvaluationSplit, tokenizer: PreTrainedTokenizer, target: str
) -> dict[str, int]:
    """Count what a split has and the vocabulary has not; each is an error at every occurrence."""
    unknown = outside_vocabulary(split.references, tokenizer, target)
    if unknown:
        shown = ", ".join(f"{name!r} ({n})" for name, n in unknown.most_common(SYMBOLS_SHOWN))
        more = f" and {len(unknown) - SYMBOLS_SHOWN} more" if len(unknown) > SYMBOLS_SHOWN else ""
        logger.warning(
            "%s holds %d %s that training does not, and that count as errors: %s%s",
            split.name, sum(unknown.values()), "phones" if target == "phones" else "characters",
            shown, more,
        )  # fmt: skip
    return dict(unknown.most_common())


def check_transcribed(trainer: SpeechTrainer) -> list[str]:
    """Return why CTC cannot be trained on this data."""
    args, dataset, model = trainer.args, trainer.train_dataset, trainer.model
    problems = check_batches(dataset, args.batch_seconds, args.world_size)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        problems.append("No parameter of the model trains: unfreeze some.")
    if args.eval_strategy != "no" and not isinstance(trainer.eval_dataset, EvaluationSplit | None):
        kind = type(trainer.eval_dataset).__name__
        problems.append(f"eval_dataset is a {kind}; expected an EvaluationSplit.")
    return problems
