"""What an elastic distillation is told; only the standard library is imported, for `--help`."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hf_rspin.training.selection_arguments import SelectionArguments
from hf_rspin.utils import mapping_option, option

DTYPES = ("float32", "bfloat16")


@dataclass
class ElasticArguments(SelectionArguments):
    """Which student, teacher and subnets, on what."""

    encoder: str = option(
        "", "folder or Hub id of the HuBERT that is trained; of stage 2 what stage 1 left"
    )
    teacher: str = option("", "folder or Hub id of the frozen encoder that it learns from")
    stage: int = option(1, "1: the whole encoder is a student; 2: a random subnet in every forward")
    space: dict | str | None = option(
        None,
        "of the subnets (stage 2): lighthubert_base, lighthubert_small, a JSON file, or a mapping "
        "of widths, heads, ratios, depths, head_size",
    )
    average_layers: int = option(
        0, "top layers of the teacher whose mean is predicted; 0: 8 of 12 or more, half of fewer"
    )
    standardize_targets: bool = option(
        False, "mean 0 and variance 1 in every dimension of the targets; the paper leaves them"
    )
    mask_prob: float = option(0.65, "share of frames that masks would cover if none overlapped")
    mask_length: int = option(10, "frames that one mask covers")
    unmasked_weight: float = option(
        1.0, "weight of the loss at a frame that is not masked, beside 1 at one that is"
    )
    random_weights: bool = option(False, "begin with random weights in the shape of --encoder")
    student_config: dict | str | None = option(
        None, "other fields of the encoder's config (dropout, ...), mapping or JSON"
    )
    feature_encoder_gradient: float = option(
        1.0, "factor of the gradients of the convolutions; 0 freezes them"
    )
    corpora: list[str] = option([], "folders of audio, or other corpora")
    corpus_split: str | None = option(None, "split of a Hub dataset; none: all rows")
    exclude_splits: list[str] = option(
        ["test", "test_unseen"], "rows of metadata.csv with these values of `split` are left out"
    )
    min_seconds: float = option(1.0, "shorter utterances are left out")
    crop_seconds: float = option(3.0, "longest crop")
    segment_seconds: float = option(
        17.0, "recordings above a minute are cut at pauses into parts of up to this; 0: none"
    )
    teacher_cache: str | None = option(
        None, "folder of the teacher's targets; default: teacher in the output folder"
    )
    teacher_bf16: bool = option(True, "bfloat16 in the teacher; off where a CPU emulates it")
    saved_dtype: str = option("float32", "of the saved weights: float32 or bfloat16")
    strict: bool = option(False, "stop at the first bad file")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.student_config = mapping_option("student_config", self.student_config)
        if isinstance(self.space, str) and self.space.startswith("{"):
            self.space = mapping_option("space", self.space)
        if self.stage not in (1, 2):
            raise ValueError(f"--stage is {self.stage}; expected 1 or 2.")
        if self.saved_dtype not in DTYPES:
            raise ValueError(f"saved_dtype is {self.saved_dtype!r}; expected float32 or bfloat16.")
        if not 0 < self.mask_prob <= 1 or self.mask_length < 1:
            raise ValueError(
                f"mask_prob is {self.mask_prob:g} and mask_length {self.mask_length}; expected a "
                "share above 0 and up to 1, and 1 frame or more."
            )
        for name in ("unmasked_weight", "average_layers"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise ValueError(f"{name} is {getattr(self, name):g}; expected 0 or more.")
        if not 0 <= self.feature_encoder_gradient <= 1:
            raise ValueError(
                f"feature_encoder_gradient is {self.feature_encoder_gradient:g}; expected 0 to 1."
            )
        if self.crop_seconds < 1 or self.min_seconds < 1:
            raise ValueError(
                f"crop_seconds is {self.crop_seconds:g} and min_seconds {self.min_seconds:g}; "
                "expected 1 s or more."
            )

    def check(self) -> None:
        """Refuse what cannot be run, before anything is read.

        Raises:
            ValueError: no encoder, teacher or corpus, or no space in stage 2.
        """
        for name in ("encoder", "teacher", "corpora"):
            if not getattr(self, name):
                raise ValueError(f"no {name} was given; pass --{name} FOLDER.")
        if self.stage == 2 and self.space is None:
            raise ValueError(
                "stage 2 draws subnets, but no space of them was given; pass --space "
                "lighthubert_base, lighthubert_small, or a JSON file."
            )
        if self.stage == 2 and self.random_weights:
            raise ValueError(
                "stage 2 goes on from what stage 1 trained, not from random weights: leave "
                "--random_weights out."
            )
