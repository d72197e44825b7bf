"""Pre-train a small HuBERT from scratch: read and cluster the corpora, train, save the encoder.

The first iteration clusters MFCC; a later one clusters a layer of `teacher`, the encoder that the
iteration before it saved.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm
from transformers import HubertConfig, HubertModel, Wav2Vec2FeatureExtractor

from hf_rspin.audio import AudioError, read_audio
from hf_rspin.data import load_corpus
from hf_rspin.models.folders import resolve_encoder
from hf_rspin.training.filterbank import start_as_filterbank
from hf_rspin.training.masked_prediction_arguments import MaskedPredictionArguments
from hf_rspin.training.output_lock import output_lock
from hf_rspin.training.pretraining import (
    HubertForMaskedPrediction,
    PretrainingBatches,
    first_item,
)
from hf_rspin.training.provenance import check_provenance, weights_key
from hf_rspin.training.run import leave_process_group, resume_training, save_history
from hf_rspin.training.sampling import ReadyBatches
from hf_rspin.training.trainer import SpeechTrainer
from hf_rspin.training.training_arguments import MaskedPredictionTrainingArguments
from hf_rspin.units import KMeans
from hf_rspin.units.extractors import fingerprint
from hf_rspin.units.features import layer_features, mfcc_features
from hf_rspin.utils import atomic

logger = logging.getLogger(__name__)


def build_masked_prediction(
    arguments: MaskedPredictionArguments, training: MaskedPredictionTrainingArguments
) -> SpeechTrainer:
    """Read and cluster the corpora, and return the trainer.

    Raises:
        ValueError: something given is wrong, in one sentence.
    """
    check_settings(arguments, training)
    waveforms = read_corpora(arguments)
    folder = Path(training.output_dir)
    with training.main_process_first(desc="labels"):
        labels = make_labels(arguments, waveforms, folder, training.seed)
    model = build_network(arguments)
    logger.info("%.2fM parameters in the encoder", model.hubert.num_parameters() / 1e6)
    batches = PretrainingBatches(
        waveforms,
        labels,
        training.max_steps * training.gradient_accumulation_steps * training.world_size,
        training.batch_seconds,
        arguments.crop_seconds,
        training.seed,
        arguments.mask_span,
        arguments.mask_start,
    )
    given = weights_key(model) if arguments.initial_model else None
    label_key = fingerprint(torch.from_numpy(np.concatenate(labels)))
    trainer = SpeechTrainer(
        model,
        training,
        batches,
        data_collator=first_item,
        batch_sampler=ReadyBatches,
        provenance={"initial_weights": given, "labels": label_key},
    )
    trainer.run_arguments = (arguments,)
    return trainer


def run_masked_prediction(trainer: SpeechTrainer) -> None:
    """Train from the newest complete checkpoint, if there is one, and save the plain encoder."""
    folder = Path(trainer.args.output_dir)
    with output_lock(folder, trainer.args.should_save):
        resume_training(trainer)
        if trainer.is_world_process_zero():
            save_encoder(trainer.accelerator.unwrap_model(trainer.model).hubert, folder / "encoder")
            save_history(trainer.state.log_history, folder)
    leave_process_group()


def read_corpora(arguments: MaskedPredictionArguments) -> list[np.ndarray]:
    """Read every utterance into memory as int16; skip and name what cannot be read."""
    waveforms, seconds = [], 0.0
    for source in arguments.corpora:
        corpus = load_corpus(source)
        splits = corpus["split"] if "split" in corpus.column_names else [None] * len(corpus)
        progress = tqdm(zip(corpus["audio"], splits, strict=True), total=len(corpus), desc=source)
        for cell, split in progress:
            if split in arguments.exclude_splits:
                continue
            try:
                waveform = read_audio(cell)
            except AudioError as error:
                logger.warning("Skipped: %s", error)
                continue
            if len(waveform) >= arguments.min_seconds * 16000 and np.abs(waveform).max() > 0:
                waveforms.append(np.int16(np.clip(waveform, -1, 1) * 32767))
                seconds += len(waveform) / 16000
    if not waveforms:
        raise ValueError(f"the corpora hold no utterance of {arguments.min_seconds:g} s or more.")
    logger.info("%d utterances, %.2f hours", len(waveforms), seconds / 3600)
    return waveforms


def make_labels(
    arguments: MaskedPredictionArguments,
    waveforms: list[np.ndarray],
    folder: Path,
    seed: int,
) -> list[np.ndarray]:
    """Cluster the frames of the corpus; keep the result in `folder`.

    Raises:
        ValueError: the folder holds labels that were made from something else.
    """
    if arguments.teacher is None:
        extract, source, weights = mfcc_features(), "mfcc", None
    else:
        teacher = HubertModel.from_pretrained(
            arguments.teacher, num_hidden_layers=arguments.teacher_layer, dtype=torch.float32
        )
        extract = layer_features(teacher, arguments.teacher_layer)
        source = f"layer {arguments.teacher_layer} of the iteration before"
        weights = fingerprint(*(value for _, value in sorted(teacher.state_dict().items())))
    provenance = {
        "source": source, "teacher_weights": weights, "num_clusters": arguments.num_clusters,
        "seed": seed, "utterances": len(waveforms), "samples": sum(map(len, waveforms)),
    }  # fmt: skip
    check_provenance(folder, provenance, ("labels.npz",))
    done = folder / "labels.npz"
    if done.is_file():
        flat = np.load(done)
        return np.split(flat["labels"].astype(np.int64), np.cumsum(flat["lengths"])[:-1])
    features = [
        extract(waveform.astype(np.float32) / 32768).astype(np.float16)
        for waveform in tqdm(waveforms, desc="features")
    ]
    flat = np.concatenate(features)
    kmeans = KMeans(arguments.num_clusters, seed, source)
    generator = np.random.default_rng(seed)
    for _ in tqdm(range(3), desc="k-means passes"):
        kmeans.reset_counts()
        order = generator.permutation(len(flat))
        kmeans.fit_stream(flat[order[i : i + 20000]] for i in range(0, len(order), 20000))
    kmeans.save_pretrained(folder / "kmeans")
    labels = [kmeans.predict(f.astype(np.float32)) for f in features]
    usage = np.bincount(np.concatenate(labels), minlength=arguments.num_clusters) / len(flat)
    perplexity = np.exp(-(usage[usage > 0] * np.log(usage[usage > 0])).sum())
    logger.info("%d frames in %d clusters, perplexity %.1f", len(flat), len(usage), perplexity)
    lengths = np.array([len(label) for label in labels])
    with atomic(done) as temporary, open(temporary, "wb") as file:
        np.savez(file, labels=np.concatenate(labels).astype(np.uint16), lengths=lengths)
    return labels


def check_settings(
    arguments: MaskedPredictionArguments, training: MaskedPredictionTrainingArguments
) -> None:
    """Find the encoders; refuse what would fail after the corpus has been read and clustered.

    Raises:
        ValueError: no corpus, no number of updates, or a teacher that does not exist.
    """
    if not arguments.corpora:
        raise ValueError("no corpus was given; pass --corpora with one or more folders of audio.")
    if training.max_steps < 1:
        raise ValueError(f"--max_steps is {training.max_steps}; expected the number of updates.")
    for option in ("teacher", "initial_model"):
        if getattr(arguments, option) is not None:
            setattr(arguments, option, resolve_encoder(getattr(arguments, option)))


def build_network(arguments: MaskedPredictionArguments) -> HubertForMaskedPrediction:
    """Build the encoder from the config, or load what to start from."""
    extra = {
        "num_clusters": arguments.num_clusters,
        "final_dim": 256,
        "unmasked_weight": arguments.unmasked_weight,
        "apply_spec_augment": True,
        # Crops are short: plain attention trains a fifth faster on a CPU than the fused kernel.
        "attn_implementation": "sdpa" if torch.cuda.is_available() else "eager",
    }
    if arguments.initial_model is None:
        model = HubertForMaskedPrediction(HubertConfig(**(arguments.encoder or {}), **extra))
        if arguments.filterbank:
            start_as_filterbank(model.hubert)
        return model
    config = HubertConfig.from_pretrained(
        arguments.initial_model, attn_implementation=extra.pop("attn_implementation")
    )
    config.update(extra)  # from_pretrained drops fields that the folder does not have
    return HubertForMaskedPrediction.from_pretrained(
        arguments.initial_model, config=config, dtype=torch.float32
    )


def save_encoder(encoder: HubertModel, folder: Path) -> None:
    """Save the plain encoder as bfloat16, with a clean config and its feature extractor.

    The config says float32, which `from_pretrained` then loads: half the size on disk, and no
    bfloat16 surprises on processors without it.
    """
    for name in ("num_clusters", "final_dim", "unmasked_weight"):
        delattr(encoder.config, name)
    encoder.config.apply_spec_augment = False
    encoder.to(torch.bfloat16).save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"dtype": "float32"}, indent=2) + "\n")
    Wav2Vec2FeatureExtractor(do_normalize=False, return_attention_mask=True).save_pretrained(folder)
    logger.info("Encoder saved in %s", folder)
