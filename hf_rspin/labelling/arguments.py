"""What `hf-rspin labels` asks for: which units, of what."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from hf_rspin.utils import option


@dataclass
class PseudoLabelArguments:
    """What the units are."""

    output_dir: str = option("", "where the labels go")
    units: str = option("spin", "spin (codes of --model), layer (k-means), or mfcc")
    model: str | None = option(None, "Spin model, or encoder for layer (Whisper's too)")
    encoder: str | None = option(None, "another name of model")
    corpora: list[str] = option([], "several corpora, instead of corpus")
    exclude_splits: list[str] = option(
        ["test", "test_unseen"], "of corpora: rows with these values of `split` are left out"
    )
    layer: int = option(9, "hidden state to cluster, for `layer`")
    num_clusters: int = option(512, "k-means clusters (mfcc, layer)")
    kmeans_seconds: float = option(36000.0, "audio that k-means is fitted on")
    standardize: bool = option(
        False, "k-means on dimensions of mean 0 and variance 1 (Whisper has a few large ones)"
    )
    vocab_size: int = option(40_000, "acoustic pieces, base units counted; 0: units only")
    piece_hours: float = option(
        1000.0, "speech that acoustic pieces are learned from: a random part of a larger corpus"
    )
    bf16: bool = option(False, "bfloat16 autocast in the encoder")
    device: str = option("auto", "cpu, cuda, or auto: cuda where there is one")
    seed: int = option(0, "seed of k-means, and of what acoustic pieces are learned from")
    shard: int | None = option(
        None, "which part of the corpus this process does, from 0; default: its SLURM array task"
    )
    num_shards: int | None = option(
        None, "processes (on machines that share the folder) that divide it; the last one joins"
    )

    def __post_init__(self) -> None:
        if not self.piece_hours > 0:
            sys.exit(f"--piece_hours is {self.piece_hours}; expected hours, above 0.")
        if self.units not in ("spin", "layer", "mfcc"):
            sys.exit(f"--units is {self.units!r}; expected spin, layer or mfcc.")
        if not self.output_dir:
            sys.exit(
                "no output folder was given; pass --output_dir, or a recipe that names one: "
                "hf-rspin labels pseudo_labels_small.yaml --corpus speech."
            )
        if self.model is not None and self.encoder is not None:
            sys.exit("got --model and --encoder, two names of one option; give one of them.")
        self.model = self.encoder if self.model is None else self.model
        if self.units != "mfcc" and self.model is None:
            sys.exit(f"--units {self.units} needs --model, a folder or Hub id.")
