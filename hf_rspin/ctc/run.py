"""What `hf-rspin finetune-ctc` does: build a trainer from arguments, train, save, measure."""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path

from peft import PeftModel
from transformers import Wav2Vec2Processor

from hf_rspin.adapters import AdapterArguments, adapted_model, is_adapter, merge_lora
from hf_rspin.audio import FRAME_SHIFT, SAMPLING_RATE
from hf_rspin.ctc.arguments import CtcCorpusArguments, CtcModelArguments
from hf_rspin.ctc.checks import leave_out_unalignable
from hf_rspin.ctc.data import CtcDataset
from hf_rspin.ctc.head import class_prior
from hf_rspin.ctc.results import describe, measure, write_results
from hf_rspin.ctc.splits import CtcSplits, load_splits
from hf_rspin.ctc.trainer import CtcTrainer
from hf_rspin.ctc.training_arguments import CtcTrainingArguments
from hf_rspin.ctc.vocabulary import build_tokenizer, save_processor
from hf_rspin.data import SkippedFiles
from hf_rspin.models.folders import feature_extractor_of
from hf_rspin.training.checkpoints import ADAPTER_FOLDER, WEIGHT_FILES
from hf_rspin.training.output_lock import output_lock
from hf_rspin.training.run import leave_process_group, resume_training, save_history
from hf_rspin.training.selection import keep_selection, select_rows

logger = logging.getLogger(__name__)

READ_SAVED = (
    "Adapter saved in %s: READ does not merge into the encoder, so no pipeline can load it; load "
    "it with hf_rspin.adapters.load_adapted, or with PeftModel.from_pretrained on the encoder."
)
PHONE_TIMES = (
    'Times of the phones: pipeline(..., return_timestamps="char"). Phones hold no words, and '
    'transformers fails at "word".'
)


@dataclass
class CtcFineTune:
    """A trainer, and the parts of the corpus that it trains and is measured on."""

    trainer: CtcTrainer
    splits: CtcSplits


def build_fine_tune(
    corpus: CtcCorpusArguments,
    model: CtcModelArguments,
    adapter: AdapterArguments,
    training: CtcTrainingArguments,
) -> CtcFineTune:
    """Load corpus, vocabulary and model.

    Raises:
        ValueError: something given is wrong, in one sentence.
    """
    skipped = SkippedFiles(corpus.strict)
    splits = load_splits(corpus, skipped)
    target, train = splits.rules.target, splits.train
    chosen, selection = select_rows(
        corpus, train.corpus, training, start=model.encoder, skipped=skipped
    )
    if selection is not None:
        train.select(chosen)
    tokenizer = build_tokenizer(train.transcripts, target)
    labels = tokenizer(train.transcripts).input_ids
    frames = sum(train.corpus["duration"]) * SAMPLING_RATE / FRAME_SHIFT
    recognizer = model.build(tokenizer, adapter, class_prior(labels, len(tokenizer), frames))
    labels = leave_out_unalignable(train, labels, recognizer)
    trainer = CtcTrainer(
        recognizer,
        training,
        CtcDataset(train.corpus, labels, corpus.strict, skipped),
        splits.dev,
        processor=Wav2Vec2Processor(feature_extractor_of(adapted_model(recognizer)), tokenizer),
        target=target,
    )
    trainer.run_arguments = (corpus, model, adapter)
    keep_selection(trainer, selection)
    return CtcFineTune(trainer, splits)


def fine_tune(run: CtcFineTune) -> dict:
    """Train from the newest complete checkpoint if there is one, save, measure; return results.

    Raises:
        ConfigurationError: the run cannot work.
        AudioError: no audio can be read any more, or a bad file where the run is strict.
    """
    trainer, folder = run.trainer, Path(run.trainer.args.output_dir)
    with output_lock(folder, trainer.args.should_save):
        resume_training(trainer)
        saved = save_model(trainer, folder)
        results = describe(trainer, run.splits) | measure(trainer, run.splits, saved, folder)
        if trainer.is_world_process_zero():
            save_history(trainer.state.log_history, folder)
            write_results(trainer, results, saved, folder)
            logger.info(READ_SAVED if saved != folder else "Model saved in %s", saved)
            if trainer.target == "phones":
                logger.info(PHONE_TIMES)
    leave_process_group()
    return results


def save_model(trainer: CtcTrainer, folder: Path) -> Path:
    """Save what was trained; return where it can be loaded from.

    LoRA is merged, so that `folder` works in a pipeline, and kept beside. READ cannot be merged:
    there is its adapter only.
    """
    model = trainer.accelerator.unwrap_model(trainer.model)
    if trainer.is_world_process_zero():
        _remove_old_result(folder)
    trainer.accelerator.wait_for_everyone()
    is_adapted = isinstance(model, PeftModel)
    trainer.save_model(folder / ADAPTER_FOLDER if is_adapted else folder)
    merges = is_adapted and model.peft_config[model.active_adapter].peft_type == "LORA"
    if merges and trainer.is_world_process_zero():
        merge_lora(model).save_pretrained(folder)
        save_processor(trainer.processor, folder)
    trainer.accelerator.wait_for_everyone()  # until the first process has written it
    return folder / ADAPTER_FOLDER if is_adapted and not merges else folder


def _remove_old_result(folder: Path) -> None:
    """Delete the model of an earlier run, which would be taken for that of this one."""
    for name in ("config.json", *WEIGHT_FILES):
        (folder / name).unlink(missing_ok=True)
    if is_adapter(folder / ADAPTER_FOLDER):
        shutil.rmtree(folder / ADAPTER_FOLDER)
