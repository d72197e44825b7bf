"""Check a CTC fine-tune before its first step."""

from __future__ import annotations

import logging

import numpy as np
import torch
from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizer

from hf_rspin.adapters import adapted_model
from hf_rspin.audio import SAMPLING_RATE
from hf_rspin.data.checks import check_batches, check_examples, raise_problems
from hf_rspin.downstream.arguments import CtcTrainingArguments
from hf_rspin.downstream.dataset import CtcDataset
from hf_rspin.downstream.splits import EvaluationSplit, TrainSplit
from hf_rspin.downstream.vocabulary import frames_needed, outside_vocabulary
from hf_rspin.training.preflight import check_devices, check_output_dir

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


def check_ctc_run(
    model: PreTrainedModel | PeftModel,
    args: CtcTrainingArguments,
    dataset: CtcDataset | None,
    resuming: bool,
) -> None:
    """Refuse a run that cannot work; warn about one that will work badly.

    Raises:
        PreflightError: with every reason.
    """
    if dataset is None:
        raise_problems(["There is no train_dataset: pass a CtcDataset."])
    problems = check_devices(args)
    problems += [] if resuming else check_output_dir(args)
    problems += check_batches(dataset, args.batch_seconds, args.world_size)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        problems.append("No parameter of the model trains: unfreeze some.")
    if not problems:
        problems += check_examples(dataset)
    raise_problems(problems)
    if args.max_steps > 0 and args.get_warmup_steps(args.max_steps) >= args.max_steps:
        logger.warning(
            "The warm-up (%d updates) takes the whole run (%d): the learning rate never falls.",
            args.get_warmup_steps(args.max_steps), args.max_steps,
        )  # fmt: skip
