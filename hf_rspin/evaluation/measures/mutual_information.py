"""What clusters of a layer's vectors know about labels: mutual information with phones, words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from hf_rspin.evaluation.measures.unit_quality import phone_normalized_mutual_information

PHONE_BATCH, WORD_BATCH = 1500, 4000
MAX_ITERATIONS = 500


class LabelInformation(NamedTuple):
    """I(label; cluster) / H(label), 0 to 1; 0 where there is one label only.

    Attributes:
        held_out: of the tokens that the clusters were not fitted on; the published figure.
        train: of the others. Both grow with the number of clusters, and are too high where
            there are few tokens per cluster: compare layers on the same tokens.
        clusters: of the tokens that they were not fitted on, (tokens,).
    """

    held_out: float
    train: float
    clusters: tuple[int, ...]


def layer_mutual_information(
    train: ArrayLike,
    train_labels: Sequence,
    test: ArrayLike,
    test_labels: Sequence,
    num_clusters: int,
    seed: int = 0,
    batch_size: int = PHONE_BATCH,
) -> LabelInformation:
    """Cluster token vectors of a layer, and compare the clusters with the labels of tokens.

    Pasad et al., "Comparative layer-wise analysis of self-supervised speech models" (2023):
    mini-batch k-means with 500 clusters for phones (mean of the middle third of a phone) and 5000
    for words (mean of a word), at most 500 iterations.

    Args:
        train: vectors that the clusters are fitted on, (tokens, dim).
        train_labels: phone or word of each, (tokens,).
        test: vectors of other tokens, (tokens, dim).
        test_labels: likewise.
        num_clusters: number of clusters.
        seed: of the clustering.
        batch_size: tokens per iteration; `PHONE_BATCH` for phones, `WORD_BATCH` for words.

    Raises:
        ValueError: shapes that do not fit, nan, or fewer training tokens than clusters.

    Example:
        >>> words = np.arange(100) % 2
        >>> vectors = np.eye(2)[words]
        >>> found = layer_mutual_information(vectors, words, vectors, words, num_clusters=2)
        >>> round(found.held_out, 3)  # of 1
        1.0
    """
    from sklearn.cluster import MiniBatchKMeans

    train, train_labels = _tokens("train", train, train_labels)
    test, test_labels = _tokens("test", test, test_labels)
    if train.shape[1] != test.shape[1]:
        raise ValueError(
            f"train and test have {train.shape[1]} and {test.shape[1]} dimensions; take both from "
            "one layer."
        )
    if not 1 <= num_clusters <= len(train):
        raise ValueError(
            f"got {num_clusters} clusters for {len(train)} training tokens; expected 1 to as many "
            "clusters as tokens."
        )
    kmeans = MiniBatchKMeans(
        num_clusters, batch_size=batch_size, max_iter=MAX_ITERATIONS, random_state=seed
    ).fit(train)
    clusters = kmeans.predict(test)
    held_out = phone_normalized_mutual_information(test_labels, clusters)
    fitted = phone_normalized_mutual_information(train_labels, kmeans.predict(train))
    return LabelInformation(held_out, fitted, tuple(clusters.tolist()))


def _tokens(name: str, tokens: ArrayLike, labels: Sequence) -> tuple[np.ndarray, np.ndarray]:
    """Return vectors (tokens, dim) and labels as numbers from zero, (tokens,)."""
    tokens, labels = np.asarray(tokens), np.asarray(labels)
    if tokens.ndim != 2 or 0 in tokens.shape or labels.shape != tokens.shape[:1]:
        raise ValueError(
            f"got {name} tokens {tokens.shape} with labels {labels.shape}; expected (tokens, dim) "
            "and one label for each token, with a token or more."
        )
    if not np.isfinite(tokens).all():
        raise ValueError(f"the {name} tokens are not all finite; remove nan and infinity first.")
    return tokens, np.unique(labels, return_inverse=True)[1]
