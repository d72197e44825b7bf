"""The pseudo-labels of a corpus: k-means units of a layer, and acoustic pieces of them."""

from __future__ import annotations

from pathlib import Path

import datasets
import numpy as np

from hf_rspin.adapting.recipe import Recipe
from hf_rspin.data.skipped import SkippedFiles
from hf_rspin.models.encoder import drop_layers_above
from hf_rspin.models.folders import resolve_encoder, wants_normalized
from hf_rspin.models.loading import load_encoder
from hf_rspin.units import (
    FrameLabels,
    KMeans,
    extract_units,
    kmeans_units,
    layer_features,
)
from hf_rspin.units.features import LayerFeatures
from hf_rspin.units.learning import fit_on_part, learn_pieces
from hf_rspin.whole_folders import repair_folder


def features_of(encoder: str, layer: int, device: str, bf16: bool) -> LayerFeatures:
    """Return what gives the frames of a layer; layers above it are not computed.

    Args:
        encoder: folder, Hub id or bundled.
        layer: hidden state, from 0.
        device: cpu or cuda.
        bf16: run under bfloat16 autocast.
    """
    model = load_encoder(resolve_encoder(encoder)).to(device)
    normalize = wants_normalized(resolve_encoder(encoder), model.config)
    drop_layers_above(model, layer)
    return layer_features(model, layer, bf16, normalize)


def make_labels(
    features: LayerFeatures,
    corpus: datasets.Dataset,
    recipe: Recipe,
    folder: Path,
    skipped: SkippedFiles,
    seed: int = 0,
) -> FrameLabels:
    """Return the pieces of a corpus; what an interrupted call made is used again.

    Args:
        features: of the encoder.
        corpus: columns `id`, `audio` and `duration`.
        recipe: how many units and pieces.
        folder: `kmeans/`, `units/`, `acoustic_pieces/` and `pieces/` go there.
        skipped: is given what cannot be read.
        seed: of k-means.
    """
    for name in ("units", "pieces"):
        repair_folder(folder / name)
    if (folder / "pieces").exists():
        return FrameLabels.load(folder / "pieces")
    if (folder / "units").exists():
        units = FrameLabels.load(folder / "units")
    else:
        kmeans = _fitted(features, corpus, recipe, folder / "kmeans", skipped, seed)
        extractor = kmeans_units(features, kmeans)
        units = extract_units(extractor, corpus, folder / "units", skipped=skipped)
    occurring = int(np.count_nonzero(units.counts()))
    vocab_size = max(occurring, recipe.vocab_size)
    pieces = learn_pieces(units, vocab_size, folder / "acoustic_pieces")
    labels = units.map(pieces.encode, pieces.num_labels, {"pieces": vocab_size})
    labels.save(folder / "pieces")
    return labels


def _fitted(
    features: LayerFeatures,
    corpus: datasets.Dataset,
    recipe: Recipe,
    folder: Path,
    skipped: SkippedFiles,
    seed: int,
) -> KMeans:
    """Return the k-means of a random part of the corpus."""
    frames = int(50 * min(sum(corpus["duration"]), recipe.kmeans_seconds))
    # the estimate of the plan may have been above what was cut
    clusters = max(1, min(recipe.num_clusters, frames // 2))
    kmeans = KMeans(clusters, seed, f"layer {features.layer} of {features.model.name_or_path}")
    return fit_on_part(
        kmeans, features, corpus, recipe.kmeans_seconds, folder, skipped, recipe.standardize
    )
