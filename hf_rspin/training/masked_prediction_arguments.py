"""What a pre-training run is told; only the standard library is imported, for `--help`."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

from hf_rspin.training.selection_arguments import SelectionArguments
from hf_rspin.utils import option


@dataclass
class MaskedPredictionArguments(SelectionArguments):
    """What to pre-train, on what."""

    corpora: list[str] = option([], "folders of audio, or other corpora")
    corpus_split: str | None = option(
        None,
        "value of the column `split`, or split of a Hub dataset; none: all rows; auto: train where "
        "there is such a column",
    )
    exclude_splits: list[str] = option(
        ["test", "test_unseen"], "rows of metadata.csv with these values of `split` are left out"
    )
    labels: str | None = option(
        None,
        "labels that are there: the output folder of another run on the same corpora, or `units` "
        "or `pieces` of `hf-rspin labels`; none: made from teacher, teacher_layer and "
        "num_clusters",
    )
    teacher: str | None = option(None, "encoder folder; none: MFCC")
    teacher_layer: int = option(4, "hidden_states index to cluster")
    num_clusters: int = option(100, "number of k-means clusters")
    initial_model: str | None = option(
        None, "encoder or checkpoint to start from; none: from scratch"
    )
    encoder: dict | str | None = option(
        None,
        "fields of an encoder's config, as a mapping or JSON; `model_type` says of which family "
        "(hubert where it is left out)",
    )
    filterbank: bool = option(False, "start the first two convolutions as a mel filter bank")
    initial_convolutions: str | None = option(
        None, "encoder whose convolutions and feature projection a fresh one starts with"
    )
    feature_gradient_scale: float = option(
        1.0, "times the gradient of the convolutions; published encoders: 0.1; 0 freezes them"
    )
    feature_penalty: float = option(
        0.0, "weight of the mean square of what the convolutions give; published encoders: 10"
    )
    unmasked_weight: float = option(0.0, "weight of the loss at frames that are not masked")
    mask_span: int = option(10, "frames that one mask covers")
    mask_start: float = option(0.08, "share of frames that open a mask")
    crop_seconds: float = option(3.0, "longest crop")
    min_seconds: float = option(1.0, "shorter utterances are skipped")

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.encoder, str):
            try:
                self.encoder = json.loads(self.encoder)
            except json.JSONDecodeError as error:
                raise ValueError(f"--encoder is no JSON ({error}); expected a mapping.") from error
        if not isinstance(self.encoder, dict | None):
            raise ValueError(f"--encoder is {self.encoder!r}; expected a mapping.")

    def check(self) -> None:
        """Refuse options that exclude each other, and numbers out of range.

        Raises:
            ValueError: in one sentence.
        """
        if self.labels is not None and self.teacher is not None:
            raise ValueError("got --labels and --teacher; give one of them.")
        starts = ("initial_model", "filterbank", "initial_convolutions")
        given = [f"--{name}" for name in starts if getattr(self, name)]
        if len(given) > 1:
            raise ValueError(
                f"got {' and '.join(given)}: each says what the convolutions start from; give one."
            )
        if not 0 <= self.mask_start <= 1 or self.mask_span < 1:
            raise ValueError(
                f"mask_start is {self.mask_start:g} and mask_span {self.mask_span}; expected a "
                "share of frames up to 1, and at least 1 frame."
            )
        for name in ("feature_gradient_scale", "feature_penalty", "unmasked_weight"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(
                    f"{name} is {getattr(self, name):g}; expected a finite number of at least 0."
                )
