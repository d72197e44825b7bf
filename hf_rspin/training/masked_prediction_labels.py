"""Frame labels of pre-training: clusters of MFCC or of a teacher's layer, or those of another run.

Runs that are to be compared share one set of labels (`--labels`).
"""

from __future__ import annotations

import logging
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm
from transformers import PreTrainedModel

from hf_rspin.audio import num_frames
from hf_rspin.models.encoder import family_of, norm_is_last
from hf_rspin.models.folders import wants_normalized
from hf_rspin.models.loading import load_encoder
from hf_rspin.training.masked_prediction_arguments import MaskedPredictionArguments
from hf_rspin.training.provenance import PROVENANCE, check_provenance
from hf_rspin.units import FrameLabels, KMeans
from hf_rspin.units.extractors import fingerprint
from hf_rspin.units.features import FrameFeatures, layer_features, mfcc_features
from hf_rspin.units.reference_sound import remember_features
from hf_rspin.utils import atomic, read_json

logger = logging.getLogger(__name__)

LABELS = "labels.npz"
Waveforms = Mapping[str, np.ndarray]  # int16 (samples,) at 16 kHz by utterance id


def labels_of_run(
    arguments: MaskedPredictionArguments, waveforms: Waveforms, folder: Path, seed: int
) -> tuple[list[np.ndarray], int]:
    """Return the labels (frames,) of every utterance, and how many classes there are.

    Args:
        arguments: `labels` names existing ones; else they are made and kept in `folder`.
        waveforms: of the corpora.
        folder: of the run.
        seed: of k-means.

    Raises:
        ValueError: labels of other audio, or made from something else.
    """
    if arguments.labels is None:
        return make_labels(arguments, waveforms, folder, seed), arguments.num_clusters
    labels, number = shared_labels(Path(arguments.labels), waveforms)
    logger.info("%d labels of %s", number, arguments.labels)
    return labels, number


def make_labels(
    arguments: MaskedPredictionArguments, waveforms: Waveforms, folder: Path, seed: int
) -> list[np.ndarray]:
    """Cluster the frames of the corpus; keep the result in `folder`.

    Raises:
        ValueError: the folder holds labels that were made from something else.
    """
    extract, source, weights = features_to_cluster(arguments)
    provenance = {
        "source": source, "teacher_weights": weights, "num_clusters": arguments.num_clusters,
        "seed": seed, "utterances": len(waveforms), "samples": sum(map(len, waveforms.values())),
    }  # fmt: skip
    check_provenance(folder, provenance, (LABELS,))
    if (folder / LABELS).is_file():
        return shared_labels(folder, waveforms)[0]
    features = [
        extract(waveform.astype(np.float32) / 32768).astype(np.float16)
        for waveform in tqdm(waveforms.values(), desc="features")
    ]
    flat = np.concatenate(features)
    kmeans = KMeans(arguments.num_clusters, seed, source)
    generator = np.random.default_rng(seed)
    for _ in tqdm(range(3), desc="k-means passes"):
        kmeans.reset_counts()
        order = generator.permutation(len(flat))
        kmeans.fit_stream(flat[order[i : i + 20000]] for i in range(0, len(order), 20000))
    remember_features(kmeans, extract)
    kmeans.save_pretrained(folder / "kmeans")
    labels = [kmeans.predict(f.astype(np.float32)) for f in features]
    usage = np.bincount(np.concatenate(labels), minlength=arguments.num_clusters) / len(flat)
    perplexity = np.exp(-(usage[usage > 0] * np.log(usage[usage > 0])).sum())
    logger.info("%d frames in %d clusters, perplexity %.1f", len(flat), len(usage), perplexity)
    lengths = np.array([len(label) for label in labels])
    with atomic(folder / LABELS) as temporary, open(temporary, "wb") as file:
        flat_labels = np.concatenate(labels).astype(np.uint16)
        np.savez(file, labels=flat_labels, lengths=lengths, ids=np.array(list(waveforms)))
    return labels


def features_to_cluster(
    arguments: MaskedPredictionArguments,
) -> tuple[FrameFeatures, str, str | None]:
    """Return what is clustered, its name, and a fingerprint of the teacher's weights."""
    if arguments.teacher is None:
        return mfcc_features(), "mfcc", None
    layer = arguments.teacher_layer
    teacher = load_encoder(arguments.teacher)
    extract = layer_features(
        teacher, layer, normalize=wants_normalized(arguments.teacher, teacher.config)
    )  # refuses a layer that is not there
    _leave_out_upper_layers(teacher, layer)
    weights = fingerprint(*(value for _, value in sorted(teacher.state_dict().items())))
    return extract, f"layer {layer} of the iteration before", weights


def _leave_out_upper_layers(teacher: PreTrainedModel, layer: int) -> None:
    """Take away the layers above the one that is read, where nothing comes behind them."""
    config = teacher.config
    if layer > 0 and family_of(config).splits and not norm_is_last(config):
        del teacher.encoder.layers[layer:]
        config.num_hidden_layers = layer


def shared_labels(folder: Path, waveforms: Waveforms) -> tuple[list[np.ndarray], int]:
    """Return the labels in a folder for every utterance, and how many classes there are.

    Args:
        folder: see `labels_in`.
        waveforms: of the corpora, or of a part of them.

    Raises:
        ValueError: no labels there, or labels of other audio.
    """
    known = labels_in(folder)
    if known is None:
        labels, number = _read(folder / LABELS)[0], _number_of(folder)
        if len(labels) != len(waveforms):
            raise ValueError(
                f"{folder} holds labels of {len(labels)} utterances without their ids, but the "
                f"corpora have {len(waveforms)}: give --corpora, --exclude_splits and "
                "--min_seconds of the run that made them, or make them anew."
            )
    else:
        missing = [name for name in waveforms if name not in known]
        if missing:
            raise ValueError(
                f"{folder} holds no labels of {len(missing)} of {len(waveforms)} utterances, such "
                f"as {missing[0]!r}: make them from the same corpora (--corpora of "
                "`hf-rspin labels`, or of the run that made them)."
            )
        labels, number = [known[name] for name in waveforms], known.num_labels
    _check_lengths(folder, waveforms, labels)
    return labels, number


def labels_in(folder: Path) -> FrameLabels | None:
    """Return the labels in a folder by utterance id; None for those of a run that kept no ids.

    Args:
        folder: the output of another run of masked prediction (`labels.npz`; before version 0.2
            without ids), or frame labels that `hf-rspin labels` wrote (`units`, `pieces`).

    Raises:
        ValueError: no labels there, or damaged ones.
    """
    if (folder / LABELS).is_file():
        labels, ids = _read(folder / LABELS)
        if ids is None:
            return None
        pairs = zip(ids, labels, strict=True)
        return FrameLabels.from_sequences(pairs, _number_of(folder))
    if (folder / "frame_labels.json").is_file():
        return FrameLabels.load(folder)
    raise ValueError(
        f"{folder} holds no labels; expected the output folder of another run of masked "
        f"prediction ({LABELS}), or the folder `units` or `pieces` that `hf-rspin labels` "
        "wrote."
    )


def label_keys(arguments: MaskedPredictionArguments, labels: list[np.ndarray]) -> tuple[str, ...]:
    """Return fingerprints of the labels that a run trains on, and of the set they are taken from.

    Heads of `initial_model` that were trained on either tell the same classes.
    """
    keys = [fingerprint(torch.from_numpy(np.concatenate(labels)))]
    if arguments.labels is not None and arguments.initial_model is not None:
        known = labels_in(Path(arguments.labels))
        if known is not None:
            keys.append(fingerprint(torch.from_numpy(known.values.astype(np.int64))))
    return tuple(keys)


def _check_lengths(folder: Path, waveforms: Waveforms, labels: list[np.ndarray]) -> None:
    for (name, waveform), own in zip(waveforms.items(), labels, strict=True):
        if num_frames(len(waveform)) != len(own):
            raise ValueError(
                f"{folder} holds {len(own)} labels where utterance {name!r} has "
                f"{num_frames(len(waveform))} frames: they are of other audio, or of another "
                "order of --corpora; make them from these."
            )


def _number_of(folder: Path) -> int:
    """Return how many classes the labels of another run have."""
    settings = read_json(folder / PROVENANCE) or {}
    if "num_clusters" in settings:
        return settings["num_clusters"]
    return 1 + max(int(one.max()) for one in _read(folder / LABELS)[0])


def _read(file: Path) -> tuple[list[np.ndarray], list[str] | None]:
    """Return the labels (frames,) of each utterance in a file of `make_labels`, and their ids.

    Files of earlier versions have no ids.
    """
    try:
        with np.load(file) as found:
            labels, lengths = found["labels"].astype(np.int64), found["lengths"]
            ids = found["ids"].tolist() if "ids" in found else None
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(f"{file} is damaged ({error!r}): make the labels again.") from error
    if lengths.sum() != len(labels) or len(lengths) == 0:
        raise ValueError(
            f"{file} holds {len(labels)} labels for {lengths.sum()} frames: make them again."
        )
    if ids is not None and len(ids) != len(lengths):
        raise ValueError(
            f"{file} holds {len(ids)} ids for {len(lengths)} utterances: make the labels again."
        )
    return np.split(labels, np.cumsum(lengths)[:-1]), ids
