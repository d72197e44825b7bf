"""What a pre-training run is told; only the standard library is imported, for `--help`."""

from __future__ import annotations

import json
from dataclasses import dataclass

from hf_rspin.utils import option


@dataclass
class MaskedPredictionArguments:
    """What to pre-train, on what."""

    corpora: list[str] = option([], "folders of audio")
    exclude_splits: list[str] = option(
        ["test", "test_unseen"], "rows of metadata.csv with these values of `split` are left out"
    )
    teacher: str | None = option(None, "encoder folder; none: MFCC")
    teacher_layer: int = option(4, "hidden_states index to cluster")
    num_clusters: int = option(100, "number of k-means clusters")
    initial_model: str | None = option(
        None, "encoder or checkpoint to start from; none: from scratch"
    )
    encoder: dict | str | None = option(None, "HubertConfig fields, as a mapping or JSON")
    filterbank: bool = option(False, "start the first two convolutions as a mel filter bank")
    unmasked_weight: float = option(0.0, "weight of the loss at frames that are not masked")
    mask_span: int = option(10, "frames that one mask covers")
    mask_start: float = option(0.08, "share of frames that open a mask")
    crop_seconds: float = option(3.0, "longest crop")
    min_seconds: float = option(1.0, "shorter utterances are skipped")

    def __post_init__(self) -> None:
        if isinstance(self.encoder, str):
            try:
                self.encoder = json.loads(self.encoder)
            except json.JSONDecodeError as error:
                raise ValueError(f"--encoder is no JSON ({error}); expected a mapping.") from error
