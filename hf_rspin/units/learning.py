"""K-means of a random part of a corpus, and the acoustic pieces of its units."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

import datasets
import numpy as np

from hf_rspin.data.skipped import SkippedFiles
from hf_rspin.units.acoustic_pieces import AcousticPieces
from hf_rspin.units.features import FrameFeatures
from hf_rspin.units.fitting import fit_kmeans
from hf_rspin.units.frame_labels import FrameLabels
from hf_rspin.units.kmeans import KMeans


def fit_on_part(
    kmeans: KMeans,
    features: FrameFeatures,
    corpus: datasets.Dataset,
    seconds: float,
    folder: Path,
    skipped: SkippedFiles,
    standardize: bool,
) -> KMeans:
    """Return the k-means of a random part of a corpus; what an interrupted call left goes on.

    Args:
        kmeans: not fitted; its seed chooses the part.
        features: frames that are clustered.
        corpus: columns `id`, `audio` and `duration` in seconds.
        seconds: speech that it learns from.
        folder: of the k-means, saved as it learns.
        skipped: is given the files that cannot be read, or stops at them where it is strict.
        standardize: every dimension before it is clustered.
    """
    order = np.random.default_rng(kmeans.seed).permutation(len(corpus))
    ends = np.cumsum(np.asarray(corpus["duration"])[order])
    part = corpus.select(order[: 1 + int(np.searchsorted(ends, seconds))])
    with contextlib.suppress(FileNotFoundError):  # none yet, or killed before the first was whole
        kmeans = KMeans.from_pretrained(folder)
    return fit_kmeans(
        kmeans, features, part["audio"], folder, skipped=skipped, ids=part["id"][:],
        standardize=standardize,
    )  # fmt: skip


def learn_pieces(
    units: FrameLabels, vocab_size: int, folder: Path, ids: Iterable[str] | None = None
) -> AcousticPieces:
    """Learn acoustic pieces of units, and save them.

    Args:
        units: of a corpus.
        vocab_size: pieces, the units that occur among them.
        folder: for the pieces.
        ids: utterances to learn from; all by default.

    Raises:
        ValueError: fewer pieces are asked for than units occur.
    """
    pieces = AcousticPieces.train((units[one] for one in ids or units), vocab_size)
    # without the name of the model, a local path: its weights say which it is
    pieces.provenance = {k: v for k, v in units.provenance.items() if k != "model"}
    pieces.save_pretrained(folder)
    return pieces
