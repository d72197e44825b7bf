"""What a pre-training run is told; only the standard library is imported, for `--help`."""

from __future__ import annotations

import json
from dataclasses import dataclass, field


@dataclass
class MaskedPredictionArguments:
    """What to pre-train, on what."""

    corpora: list[str] = field(default_factory=list, metadata={"help": "folders of audio"})
    exclude_splits: list[str] = field(
        default_factory=lambda: ["test", "test_unseen"],
        metadata={"help": "rows of metadata.csv with these values of `split` are left out"},
    )
    teacher: str | None = field(default=None, metadata={"help": "encoder folder; none: MFCC"})
    teacher_layer: int = field(default=4, metadata={"help": "hidden_states index to cluster"})
    num_clusters: int = field(default=100, metadata={"help": "number of k-means clusters"})
    initial_model: str | None = field(
        default=None, metadata={"help": "encoder or checkpoint to start from; none: from scratch"}
    )
    encoder: dict | str | None = field(
        default=None, metadata={"help": "HubertConfig fields, as a mapping or JSON"}
    )
    filterbank: bool = field(
        default=False, metadata={"help": "start the first two convolutions as a mel filter bank"}
    )
    unmasked_weight: float = field(
        default=0.0, metadata={"help": "weight of the loss at frames that are not masked"}
    )
    mask_span: int = field(default=10, metadata={"help": "frames that one mask covers"})
    mask_start: float = field(default=0.08, metadata={"help": "share of frames that open a mask"})
    crop_seconds: float = field(default=3.0, metadata={"help": "longest crop"})
    min_seconds: float = field(default=1.0, metadata={"help": "shorter utterances are skipped"})

    def __post_init__(self) -> None:
        if isinstance(self.encoder, str):
            try:
                self.encoder = json.loads(self.encoder)
            except json.JSONDecodeError as error:
                raise ValueError(f"--encoder is no JSON ({error}); expected a mapping.") from error
