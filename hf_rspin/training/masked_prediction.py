"""Pre-train an encoder from scratch: read and label the corpora, train, save the plain encoder.

The first iteration clusters MFCC; a later one clusters a layer of `teacher`, the encoder that the
iteration before it saved. Any family of encoders (`--encoder` with `model_type`), those of several
resolutions too.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from hf_rspin.audio import AudioError, read_audio
from hf_rspin.data import load_corpus
from hf_rspin.data.corpora import is_excluded, load_corpora
from hf_rspin.data.identifiers import prefixed_ids
from hf_rspin.data.selection.budget import Selection
from hf_rspin.models.folders import feature_extractor_of, resolve_encoder
from hf_rspin.training.corpus_arguments import split_name
from hf_rspin.training.masked_prediction_arguments import MaskedPredictionArguments
from hf_rspin.training.masked_prediction_labels import label_keys, labels_in, labels_of_run
from hf_rspin.training.masked_prediction_network import build_network, save_encoder
from hf_rspin.training.output_lock import output_lock
from hf_rspin.training.pretraining import PretrainingBatches, first_item
from hf_rspin.training.provenance import weights_key
from hf_rspin.training.run import leave_process_group, resume_training, save_history
from hf_rspin.training.sampling import ReadyBatches
from hf_rspin.training.selection import keep_selection, select_rows
from hf_rspin.training.trainer import SpeechTrainer
from hf_rspin.training.training_arguments import MaskedPredictionTrainingArguments

logger = logging.getLogger(__name__)


def build_masked_prediction(
    arguments: MaskedPredictionArguments, training: MaskedPredictionTrainingArguments
) -> SpeechTrainer:
    """Read and label the corpora, and return the trainer.

    Raises:
        ValueError: something given is wrong, in one sentence.
    """
    check_settings(arguments, training)
    selection = select_of_corpora(arguments, training)
    waveforms = read_corpora(arguments, None if selection is None else set(selection.ids))
    folder = Path(training.output_dir)
    with training.main_process_first(desc="labels"):
        labels, arguments.num_clusters = labels_of_run(arguments, waveforms, folder, training.seed)
    keys = label_keys(arguments, labels)
    model = build_network(arguments, arguments.num_clusters, keys)
    if arguments.initial_model and model.config.untrained_heads:
        logger.info("The heads begin anew: %s has none for these labels.", arguments.initial_model)
    logger.info("%.2fM parameters in the encoder", model.base_model.num_parameters() / 1e6)
    extractor = feature_extractor_of(model)
    batches = PretrainingBatches(
        list(waveforms.values()),
        labels,
        training.max_steps * training.gradient_accumulation_steps * training.world_size,
        training.batch_seconds,
        arguments.crop_seconds,
        training.seed,
        arguments.mask_span,
        arguments.mask_start,
        extractor.do_normalize,
    )
    given = weights_key(model) if arguments.initial_model else None
    record = {"initial_weights": given}
    if arguments.initial_convolutions is not None:
        record["initial_convolutions"] = weights_key(model.base_model.feature_extractor)
    record["labels"] = keys[0]
    trainer = SpeechTrainer(
        model,
        training,
        batches,
        processing_class=extractor,
        data_collator=first_item,
        batch_sampler=ReadyBatches,
        provenance=record,
    )
    trainer.run_arguments = (arguments,)
    keep_selection(trainer, selection)
    return trainer


def run_masked_prediction(trainer: SpeechTrainer) -> None:
    """Train from the newest complete checkpoint, if there is one, and save the plain encoder."""
    folder = Path(trainer.args.output_dir)
    with output_lock(folder, trainer.args.should_save):
        resume_training(trainer)
        if trainer.is_world_process_zero():
            model = trainer.accelerator.unwrap_model(trainer.model)
            save_encoder(model, trainer.processing_class, folder / "encoder")
            save_history(trainer.state.log_history, folder)
    leave_process_group()


def select_of_corpora(
    arguments: MaskedPredictionArguments, training: MaskedPredictionTrainingArguments
) -> Selection | None:
    """Return which utterances to train on; None for all.

    Raises:
        ValueError: no such part of the corpus, or labels that cannot be found by id.
    """
    labels = None if arguments.labels is None else labels_in(Path(arguments.labels))
    if arguments.hours is None:
        return None
    if arguments.labels is not None and labels is None:
        raise ValueError(
            f"{arguments.labels} holds labels without the ids of their utterances, as earlier "
            "versions wrote them, so a part of the corpus cannot find its own: leave --hours out, "
            "or make the labels anew (`hf-rspin labels`)."
        )
    corpus = load_corpora(
        arguments.corpora, split_name(arguments.corpus_split), arguments.exclude_splits
    )
    _, selection = select_rows(
        arguments, corpus, training, labels=labels, start=arguments.initial_model,
        min_seconds=arguments.min_seconds,
    )  # fmt: skip
    return selection


def read_corpora(
    arguments: MaskedPredictionArguments, chosen: set[str] | None = None
) -> dict[str, np.ndarray]:
    """Read every utterance into memory as int16, by its id; skip and name what cannot be read.

    Args:
        arguments: which corpora.
        chosen: ids to read; None for all.
    """
    split = split_name(arguments.corpus_split)
    corpora = [load_corpus(source, split) for source in arguments.corpora]
    ids = prefixed_ids([corpus["id"][:] for corpus in corpora], arguments.corpora)
    waveforms, seconds = {}, 0.0
    for source, corpus, names in zip(arguments.corpora, corpora, ids, strict=True):
        splits = corpus["split"] if "split" in corpus.column_names else [None] * len(corpus)
        rows = zip(names, corpus["audio"], splits, strict=True)
        for name, cell, split in tqdm(rows, total=len(corpus), desc=source):
            is_left_out = is_excluded(split, arguments.exclude_splits)
            if is_left_out or (chosen is not None and name not in chosen):
                continue
            try:
                waveform = read_audio(cell)
            except AudioError as error:
                logger.warning("Skipped: %s", error)
                continue
            if len(waveform) >= arguments.min_seconds * 16000 and np.abs(waveform).max() > 0:
                waveforms[name] = np.int16(np.clip(waveform, -1, 1) * 32767)
                seconds += len(waveform) / 16000
    if not waveforms:
        raise ValueError(f"the corpora hold no utterance of {arguments.min_seconds:g} s or more.")
    logger.info("%d utterances, %.2f hours", len(waveforms), seconds / 3600)
    return waveforms


def check_settings(
    arguments: MaskedPredictionArguments, training: MaskedPredictionTrainingArguments
) -> None:
    """Find the encoders; refuse what would fail after the corpus has been read and clustered.

    Raises:
        ValueError: no corpus, no number of updates, options that exclude each other, an encoder
            that cannot be built, or a teacher that does not exist.
    """
    if not arguments.corpora:
        raise ValueError("no corpus was given; pass --corpora with one or more folders of audio.")
    if training.max_steps < 1:
        raise ValueError(f"--max_steps is {training.max_steps}; expected the number of updates.")
    arguments.check()
    for option in ("teacher", "initial_model", "initial_convolutions"):
        if getattr(arguments, option) is not None:
            setattr(arguments, option, resolve_encoder(getattr(arguments, option)))
    with torch.random.fork_rng(devices=[]):
        build_network(arguments, arguments.num_clusters)
