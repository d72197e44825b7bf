"""Turn a corpus into frame labels: units, then acoustic pieces on top of them.

    python training_scripts/make_pseudo_labels.py --corpus speech_folder --units spin \
        --model runs/spin --vocab_size 40000 --output_dir runs/labels

writes `units/` (one unit per frame), `acoustic_pieces/` (the learned vocabulary) and `pieces/`
(one piece per frame, the pseudo-labels of train_rspin.py) into the output folder. Killed at any
moment, the same command goes on where it stopped.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

import datasets
import numpy as np
import torch
from transformers import AutoFeatureExtractor, AutoModel

from hf_rspin.training.parsing import parse_arguments
from hf_rspin.training.recipe import CorpusArguments, ModelArguments
from hf_rspin.units import (
    AcousticPieces,
    FrameLabels,
    KMeans,
    UnitExtractor,
    codebook_units,
    extract_units,
    fit_kmeans,
    kmeans_units,
    layer_features,
    mfcc_features,
)


@dataclass
class PseudoLabelArguments:
    """What the units are."""

    output_dir: str = field(default="", metadata={"help": "where the labels go"})
    units: str = field(
        default="spin", metadata={"help": "spin (codes of --model), layer (k-means), or mfcc"}
    )
    model: str | None = field(default=None, metadata={"help": "Spin model, or encoder for layer"})
    layer: int = field(default=9, metadata={"help": "hidden state to cluster, for `layer`"})
    num_clusters: int = field(default=512, metadata={"help": "k-means clusters (mfcc, layer)"})
    kmeans_seconds: float = field(
        default=36000.0, metadata={"help": "audio that k-means is fitted on"}
    )
    vocab_size: int = field(
        default=40_000, metadata={"help": "acoustic pieces, base units counted; 0: units only"}
    )
    bf16: bool = field(default=False, metadata={"help": "bfloat16 autocast in the encoder"})
    device: str = field(
        default="cuda" if torch.cuda.is_available() else "cpu", metadata={"help": "cpu or cuda"}
    )
    seed: int = field(default=0, metadata={"help": "seed of k-means"})

    def __post_init__(self) -> None:
        if self.units not in ("spin", "layer", "mfcc"):
            sys.exit(f"--units is {self.units!r}; expected spin, layer or mfcc.")
        if not self.output_dir:
            sys.exit("no output folder was given; pass --output_dir.")
        if self.units != "mfcc" and self.model is None:
            sys.exit(f"--units {self.units} needs --model, a folder or Hub id.")


def build_extractor(arguments: PseudoLabelArguments, corpus: datasets.Dataset) -> UnitExtractor:
    """Return what turns waveforms into units; k-means is fitted here and kept."""
    if arguments.units != "mfcc":
        normalize = AutoFeatureExtractor.from_pretrained(arguments.model).do_normalize
    if arguments.units == "spin":
        model = ModelArguments(encoder=arguments.model).build().to(arguments.device)
        return codebook_units(model, normalize, arguments.bf16)
    if arguments.units == "mfcc":
        features, source = mfcc_features(), "mfcc"
    else:
        encoder = AutoModel.from_pretrained(arguments.model).to(arguments.device)
        features = layer_features(encoder, arguments.layer, arguments.bf16, normalize)
        source = f"layer {arguments.layer} of {arguments.model}"
    folder = Path(arguments.output_dir) / "kmeans"
    kmeans = KMeans(arguments.num_clusters, arguments.seed, source)
    if folder.exists():
        kmeans = KMeans.from_pretrained(folder)
    order = np.random.default_rng(arguments.seed).permutation(len(corpus))
    seconds = np.cumsum(np.asarray(corpus["duration"])[order])
    chosen = order[: 1 + int(np.searchsorted(seconds, arguments.kmeans_seconds))]
    fit_kmeans(kmeans, features, list(corpus.select(chosen)["audio"]), folder)
    return kmeans_units(features, kmeans)


def main() -> None:
    """Extract units, learn acoustic pieces, encode the corpus."""
    corpus_arguments, arguments = parse_arguments(CorpusArguments, PseudoLabelArguments)
    output = Path(arguments.output_dir)
    if (output / "units").exists():
        units = FrameLabels.load(output / "units")
    else:
        corpus = corpus_arguments.load()
        extractor = build_extractor(arguments, corpus)
        units = extract_units(extractor, corpus, output / "units", strict=corpus_arguments.strict)
    print(f"{len(units)} utterances, {units.num_frames} frames, {units.num_labels} units")
    if arguments.vocab_size == 0:
        return
    pieces = AcousticPieces.train((units[name] for name in units), arguments.vocab_size)
    pieces.save_pretrained(output / "acoustic_pieces")
    labels = units.map(pieces.encode, pieces.num_labels, {"pieces": arguments.vocab_size})
    labels.save(output / "pieces")
    print(f"{pieces.vocab_size} pieces learned, {pieces.num_labels} in use; saved in {output}")


if __name__ == "__main__":
    main()
