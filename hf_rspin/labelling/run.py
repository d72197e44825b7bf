"""Run the making of pseudo-labels: corpus and model -> units -> acoustic pieces."""

from __future__ import annotations

import contextlib
import logging
import shutil
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from filelock import FileLock
from transformers import PreTrainedConfig, PreTrainedModel

from hf_rspin.data import SkippedFiles
from hf_rspin.data.corpora import load_corpora
from hf_rspin.device import check_device, use_large_allocations
from hf_rspin.labelling.arguments import PseudoLabelArguments
from hf_rspin.models.folders import load_spin, resolve_encoder, wants_normalized
from hf_rspin.models.loading import load_encoder
from hf_rspin.models.whisper_encoder import WhisperFrames, is_whisper
from hf_rspin.sharding import shard_of_process
from hf_rspin.training.cli import WHILE_RUNNING, exit_on_user_error
from hf_rspin.training.corpus_arguments import CorpusArguments, split_name
from hf_rspin.training.output_lock import output_lock
from hf_rspin.training.provenance import check_provenance, corpus_key
from hf_rspin.training.run import show_progress
from hf_rspin.training.run_card import describe_hardware
from hf_rspin.units import (
    FrameLabels,
    KMeans,
    UnitExtractor,
    WhisperLayerFeatures,
    codebook_units,
    kmeans_units,
    layer_features,
    mfcc_features,
)
from hf_rspin.units.extract import extract_part, join_parts, partial_folder
from hf_rspin.units.extractors import fingerprint
from hf_rspin.units.features import FrameFeatures
from hf_rspin.units.learning import fit_on_part, learn_pieces
from hf_rspin.utils import check_space
from hf_rspin.whole_folders import repair_folder

logger = logging.getLogger(__name__)

KMEANS_LOCK, JOIN_LOCK = "kmeans.lock", "join.lock"
FRAMES_PER_SECOND = 50
LABEL_BYTES = 8  # of a frame: parts, units, and pieces of two or four bytes
RESULTS = ("units", "units.partial", "kmeans", "pieces")


def read_corpus(
    corpus: CorpusArguments, arguments: PseudoLabelArguments, skipped: SkippedFiles
) -> datasets.Dataset:
    """Return the corpus, or several as one, with the ids that distillation gives them.

    Raises:
        ValueError: none or both were named, or nothing in them can be used.
    """
    if not arguments.corpora:
        return corpus.load(skipped)
    if corpus.corpus:
        raise ValueError("got --corpus and --corpora; give one of them.")
    return load_corpora(
        arguments.corpora,
        split_name(corpus.corpus_split),
        arguments.exclude_splits,
        skipped=skipped,
        audio_column=corpus.audio_column,
        text_column=corpus.text_column,
        speaker_column=corpus.speaker_column,
        segment_seconds=corpus.segment_seconds or None,
    )


def load_model(arguments: PseudoLabelArguments) -> PreTrainedModel | WhisperFrames | None:
    """Return the model that the units come from, in float32, on its device; None for MFCC.

    Raises:
        ValueError: no such model or device, or codes are asked of a model without codebook.
    """
    if arguments.units == "mfcc":
        return None
    device = check_device(arguments.device)
    folder = resolve_encoder(arguments.model)
    config, _ = PreTrainedConfig.get_config_dict(folder)
    if arguments.units == "layer" and is_whisper(config):
        return WhisperFrames.from_pretrained(folder, arguments.bf16, device)
    if arguments.units == "layer":
        return load_encoder(folder).to(device)
    if "codebook_size" not in config:
        raise ValueError(
            f"{arguments.model} has no codebook, so its codes would be random: give a model of "
            "`hf-rspin train --objective spin`, or cluster a layer of this one with --units layer."
        )
    return load_spin(folder).to(device)


def provenance_of(
    arguments: PseudoLabelArguments,
    model: PreTrainedModel | WhisperFrames | None,
    corpus: datasets.Dataset,
) -> dict[str, Any]:
    """Return everything that decides the units."""
    settings = {"units": arguments.units, **corpus_key(corpus)}
    if model is not None:
        whisper = isinstance(model, WhisperFrames)
        state = (model.model if whisper else model).state_dict()
        weights = fingerprint(*(tensor for _, tensor in sorted(state.items())))
        settings |= {"weights": weights, "bf16": arguments.bf16}
        if not whisper:
            settings["normalize"] = wants_normalized(resolve_encoder(arguments.model), model.config)
    if arguments.units == "spin":
        settings["spin_layer"] = model.config.spin_layer
    if arguments.units == "layer":
        settings["layer"] = arguments.layer
    if arguments.units != "spin":
        for name in ("num_clusters", "kmeans_seconds", "seed"):
            settings[name] = getattr(arguments, name)
        if arguments.standardize:
            settings["standardize"] = True
    return settings


def load_features(
    arguments: PseudoLabelArguments, model: PreTrainedModel | WhisperFrames | None
) -> tuple[FrameFeatures | None, str]:
    """Return what k-means clusters, and its name; nothing for the codes of a Spin model."""
    if arguments.units == "spin":
        return None, ""
    if arguments.units == "mfcc":
        return mfcc_features(), "mfcc"
    source = f"layer {arguments.layer} of {arguments.model}"
    if isinstance(model, WhisperFrames):
        return WhisperLayerFeatures(model, arguments.layer), source
    normalize = wants_normalized(resolve_encoder(arguments.model), model.config)
    return layer_features(model, arguments.layer, arguments.bf16, normalize), source


def check_size(arguments: PseudoLabelArguments, corpus: datasets.Dataset) -> None:
    """Refuse more clusters than frames before hours of reading.

    Raises:
        ValueError: k-means cannot start.
    """
    frames = int(50 * min(sum(corpus["duration"]), arguments.kmeans_seconds))
    if arguments.units != "spin" and not 1 <= arguments.num_clusters <= frames:
        raise ValueError(
            f"num_clusters is {arguments.num_clusters}, but k-means gets about {frames} frames: "
            "choose 1 to that many, or give it more audio."
        )


def build_extractor(
    arguments: PseudoLabelArguments,
    model: PreTrainedModel | WhisperFrames | None,
    features: FrameFeatures | None,
    source: str,
    corpus: datasets.Dataset,
    skipped: SkippedFiles,
) -> UnitExtractor:
    """Return what turns waveforms into units; k-means is fitted here and kept.

    `skipped` is given the files that k-means could not use, or stops it where it is strict.
    """
    if features is None:
        normalize = wants_normalized(resolve_encoder(arguments.model), model.config)
        return codebook_units(model, normalize, arguments.bf16)
    folder = Path(arguments.output_dir) / "kmeans"
    kmeans = KMeans(arguments.num_clusters, arguments.seed, source)
    kmeans = fit_on_part(
        kmeans, features, corpus, arguments.kmeans_seconds, folder, skipped, arguments.standardize
    )
    return kmeans_units(features, kmeans)


def make_pseudo_labels(corpus_arguments: CorpusArguments, arguments: PseudoLabelArguments) -> None:
    """Extract units, learn acoustic pieces, encode the corpus.

    Mistakes that a user can mend end the process with one sentence, see `exit_on_user_error`.
    """
    show_progress()
    use_large_allocations()
    output = Path(arguments.output_dir)
    skipped = SkippedFiles(corpus_arguments.strict)
    with exit_on_user_error():
        shard, num_shards = shard_of_process(arguments.shard, arguments.num_shards)
        corpus = read_corpus(corpus_arguments, arguments, skipped)
        check_size(arguments, corpus)
        model = load_model(arguments)
        features = load_features(arguments, model)
        repair_folder(output / "units")
        check_provenance(output, provenance_of(arguments, model, corpus), RESULTS)
        if not (output / "units").exists():
            seconds = float(np.sum(corpus["duration"]))
            check_space(output, seconds * FRAMES_PER_SECOND * LABEL_BYTES)
    logger.info("%s: units of %d utterances.", _where(model, shard, num_shards), len(corpus))
    lock = output_lock(output) if num_shards == 1 else contextlib.nullcontext()
    with exit_on_user_error((*WHILE_RUNNING, "NoSpaceError", "OSError")), lock:
        if not (output / "units").exists():
            with FileLock(output / KMEANS_LOCK):  # of several processes one fits, the others wait
                extractor = build_extractor(arguments, model, *features, corpus, skipped)
            shards = extract_part(
                extractor, corpus, partial_folder(output / "units"),
                part=shard, num_parts=num_shards, skipped=skipped,
            )  # fmt: skip
            print(skipped.summary())
        with FileLock(output / JOIN_LOCK):
            if not (output / "units").exists():
                missing = sum(1 for _ in shards.missing())
                if missing:
                    print(
                        f"shard {shard} of {num_shards} is done; {missing} of {len(shards.rows)} "
                        "parts are still to come, and the process that ends last joins them."
                    )
                    return
                join_parts(shards, extractor, corpus, output / "units")
            shutil.rmtree(partial_folder(output / "units"), ignore_errors=True)
            save_pieces(arguments, num_shards)


def _where(model: PreTrainedModel | WhisperFrames | None, shard: int, num_shards: int) -> str:
    """Say on what a process runs, and which part it does."""
    model = model.model if isinstance(model, WhisperFrames) else model
    device = torch.device("cpu") if model is None else next(model.parameters()).device
    part = f", shard {shard} of {num_shards}" if num_shards > 1 else ""
    return f"Running on {describe_hardware(device, 1)}{part}"


def save_pieces(arguments: PseudoLabelArguments, num_shards: int) -> None:
    """Learn acoustic pieces of the units, and save them and the corpus in them.

    Of several processes the first to come here does; the others find that it is done.
    """
    output, vocab_size = Path(arguments.output_dir), arguments.vocab_size
    units = FrameLabels.load(output / "units")
    print(f"{len(units)} utterances, {units.num_frames} frames, {units.num_labels} units")
    if vocab_size <= 0:
        return
    chosen = learned_from(units, arguments.piece_hours, arguments.seed)
    history = {"pieces": vocab_size}
    if len(chosen) < len(units):
        history |= {"piece_hours": arguments.piece_hours, "seed": arguments.seed}
    if num_shards > 1 and (output / "pieces").exists():
        found = FrameLabels.load(output / "pieces").provenance
        if found == {**history, "made_from": units.provenance}:
            return
    with exit_on_user_error():  # fewer pieces than units, for instance
        pieces = learn_pieces(
            units, vocab_size, output / "acoustic_pieces", (units.ids[row] for row in chosen)
        )
    units.map_to(output / "pieces", pieces.encode, pieces.num_labels, history)
    print(f"{pieces.vocab_size} pieces learned, {pieces.num_labels} in use; saved in {output}")


def learned_from(units: FrameLabels, hours: float, seed: int) -> np.ndarray:
    """Return the rows that acoustic pieces are learned from: all, or a random part of `hours`."""
    lengths = np.diff(units.offsets)
    most = hours * 3600 * FRAMES_PER_SECOND
    if lengths.sum() <= most:
        return np.arange(len(units))
    order = np.random.default_rng(seed).permutation(len(units))
    count = int(np.searchsorted(np.cumsum(lengths[order]), most, side="right"))
    return np.sort(order[: max(count, 1)])
