"""A small k-means of the last layer of any encoder, fitted on the bundled sample and kept."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from transformers import PreTrainedModel

from hf_rspin.audio import read_audio
from hf_rspin.demo.recordings import sample_utterances
from hf_rspin.models.encoder import num_hidden_states
from hf_rspin.units.features import layer_features
from hf_rspin.units.kmeans import KMeans
from hf_rspin.utils import tensor_hash

logger = logging.getLogger(__name__)

PASSES = 10  # over all frames


def last_layer_clusters(
    model: PreTrainedModel, normalize: bool, num_clusters: int, cache: str | Path
) -> KMeans:
    """Return the k-means of the last layer, from the cache where it was fitted before.

    Args:
        model: any encoder, on the device to use.
        normalize: it reads waveforms of mean 0 and variance 1.
        num_clusters: at most the frames of the sample, about 10,000.
        cache: folder; gets one of its own for every model and number, named by the weights.
    """
    layer = num_hidden_states(model.config) - 1
    name = f"{tensor_hash(model.state_dict().items())}-layer{layer}-{num_clusters}"
    folder = Path(cache).expanduser() / "demo" / (name + "-normalized" * normalize)
    if KMeans.is_saved(folder):
        try:
            return KMeans.from_pretrained(folder)
        except ValueError as error:  # damaged: fitted again
            logger.warning("%s", error)
    logger.info("Fitting %d clusters on the sample, once for each model ...", num_clusters)
    kmeans = fit(layer_features(model, layer, normalize=normalize), num_clusters, layer)
    try:
        kmeans.save_pretrained(folder)
    except OSError as error:
        logger.warning("The k-means is not kept for the next start (%s).", error)
    return kmeans


def fit(features: object, num_clusters: int, layer: int) -> KMeans:
    """Fit k-means on the train split of the sample, 210 s of 20 voices.

    Args:
        features: waveform (samples,) -> (frames, dim).
        num_clusters: number of units.
        layer: that they are of, which the k-means notes.
    """
    waveforms = [read_audio(path) for path in sample_utterances("train").values()]
    frames = np.concatenate([features(waveform) for waveform in waveforms])
    kmeans = KMeans(num_clusters, source=f"layer {layer}")
    for _ in range(PASSES):
        kmeans.reset_counts()  # all frames are in each batch: these are steps of Lloyd's k-means
        kmeans.partial_fit(frames)
    return kmeans
