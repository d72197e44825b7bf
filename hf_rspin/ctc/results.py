"""What a fine-tune gave: error rates of the saved model in results.json and on its card."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, replace
from pathlib import Path

import torch
from huggingface_hub import EvalResult
from peft import PeftModel
from transformers import (
    AutoConfig,
    AutoModelForCTC,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2Processor,
)

from hf_rspin.adapters import is_adapter, load_adapted
from hf_rspin.ctc.checks import count_unknown
from hf_rspin.ctc.recognition import recognize, save_predictions, score
from hf_rspin.ctc.splits import CtcSplits, EvaluationSplit
from hf_rspin.ctc.trainer import CtcTrainer
from hf_rspin.models.attention import choose_attention
from hf_rspin.models.encoder import family_of
from hf_rspin.publishing.card_file import write_card
from hf_rspin.training.run_card import info_of_run, portable
from hf_rspin.utils import write_text

logger = logging.getLogger(__name__)

RESULTS = "results.json"
RATES = ("wer", "cer", "per")


def load_ctc_model(folder: str | Path) -> tuple[PreTrainedModel | PeftModel, Wav2Vec2Processor]:
    """Load a model or an adapter that `fine_tune` saved, in float32 and eval mode.

    Returns:
        The model, and its feature extractor and tokenizer.

    Raises:
        ValueError: an encoder of a type that is not known; its code is not run.
    """
    family_of(PreTrainedConfig.get_config_dict(folder)[0].get("model_type"))
    # part by part: the processor's own loader runs code that a folder names
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    processor = Wav2Vec2Processor(Wav2Vec2FeatureExtractor.from_pretrained(folder), tokenizer)
    if is_adapter(folder):
        return load_adapted(folder).eval(), processor
    model = AutoModelForCTC.from_pretrained(
        folder, dtype=torch.float32, trust_remote_code=False
    )
    choose_attention(model.base_model)
    return model.eval(), processor


def describe(trainer: CtcTrainer, splits: CtcSplits) -> dict:
    """Return what was trained on what, and what dev said meanwhile."""
    corpus, model, adapter = trainer.run_arguments
    history = [entry for entry in trainer.state.log_history if "eval_loss" in entry]
    return {
        "target": splits.rules.target,
        "transcripts": asdict(splits.rules),
        "encoder": model.encoder,
        "adapter": adapter.adapter,
        "classes": len(trainer.processor.tokenizer),
        "updates": trainer.state.global_step,
        "processed_hours": trainer.processed_hours,
        "train": {
            "split": corpus.corpus_split,
            "utterances": len(trainer.train_dataset),
            "hours": float(trainer.train_dataset.full_durations.sum()) / 3600,
            "skipped_files": len(trainer.skipped),
            "left_out": splits.train.left_out,
        },
        "dev_history": [_without_prefix(entry) for entry in history],
    }


def measure(trainer: CtcTrainer, splits: CtcSplits, saved: Path, folder: Path) -> dict:
    """Recognise dev and test, write what was heard into `folder`, and return the error rates.

    The model is loaded from `saved`: what is measured is what a user of the folder gets, in
    float32, whatever training ran in.
    """
    model, processor = load_ctc_model(saved)
    model.to(trainer.args.device)
    if splits.test is None and trainer.is_world_process_zero():  # of an earlier measurement
        (folder / "test_predictions.csv").unlink(missing_ok=True)
    return {
        name: _measure_split(trainer, model, processor, split, folder / f"{name}_predictions.csv")
        for name, split in (("dev", splits.dev), ("test", splits.test))
        if split is not None
    }


def _measure_split(
    trainer: CtcTrainer,
    model: PreTrainedModel | PeftModel,
    processor: Wav2Vec2Processor,
    split: EvaluationSplit,
    file: Path,
) -> dict:
    args, target = trainer.args, trainer.target
    recognized = recognize(model, processor, split, args.process_index, args.world_size)
    scores = score(recognized, target)
    if trainer.is_world_process_zero():
        save_predictions(recognized, file)
    rates = [f"{name.upper()} {100 * scores[name]:.2f} %" for name in RATES if name in scores]
    logger.info("%s, %d utterances: %s", split.name, len(recognized), ", ".join(rates))
    return {
        "split": split.name,
        **scores,
        "without_transcript": split.num_empty,
        "skipped_files": len(split.skipped),
        "outside_vocabulary": count_unknown(split, processor.tokenizer, target),
    }


def write_results(trainer: CtcTrainer, results: dict, saved: Path, folder: Path) -> None:
    """Write results.json into `folder`, and a card that names the error rates into `saved`."""
    write_text(folder / RESULTS, json.dumps(results, indent=1, ensure_ascii=False))
    # in place of what the last log says of dev, in the precision of training
    measured = _for_card(trainer.run_arguments[0].corpus, results)
    adapter = results["adapter"] if is_adapter(saved) else None
    facts = replace(info_of_run(trainer), results=measured, adapter=adapter)
    write_card(saved, AutoConfig.from_pretrained(saved, trust_remote_code=False), facts)


def _for_card(corpus: str, results: dict) -> list[EvalResult]:
    name = str(portable(corpus))
    return [
        EvalResult(
            task_type="automatic-speech-recognition",
            dataset_type=name.partition(":")[0],
            dataset_name=name,
            dataset_split=results[part]["split"],
            metric_type=rate,
            metric_name=f"{rate.upper()} (%)",
            metric_value=round(100 * results[part][rate], 2),
        )
        for part in ("dev", "test")
        for rate in RATES
        if part in results and rate in results[part]
    ]


def _without_prefix(entry: dict) -> dict:
    """Return what was measured on dev during training, after which update."""
    return {"update": entry["step"]} | {
        name.removeprefix("eval_"): value for name, value in entry.items() if "eval_" in name
    }
