"""What a distillation is told; only the standard library is imported, for `--help`."""

from __future__ import annotations

from dataclasses import dataclass

from hf_rspin.training.selection_arguments import SelectionArguments
from hf_rspin.training.view_arguments import NoiseArguments
from hf_rspin.utils import mapping_option, option

DTYPES = ("float32", "bfloat16")


@dataclass
class DistillationArguments(NoiseArguments, SelectionArguments):
    """Which teachers and which student, on what."""

    teacher: list[str] = option(
        [], "one or two folders or Hub ids: encoders of the house, or Whisper"
    )
    target_layers: list[str] = option(
        [], "hidden states of the teacher to predict; of two teachers one list each, as 4,8 2,3"
    )
    student: str = option(
        "", "copy:N (the teacher's first N layers), a YAML file of an encoder's config, or a folder"
    )
    student_config: dict | str | None = option(
        None, "other fields of the student's config (dropout, ...), mapping or JSON"
    )
    student_layers: list[int] = option(
        [-1], "hidden state of the student that predicts: one for all targets, or one each"
    )
    distillation_head: str = option(
        "distilhubert", "throw-away head: distilhubert, linear, or mlp (USAD)"
    )
    distillation_weight: float = option(1.0, "weight of L1 and cosine; 0 switches them off")
    cosine_weight: float = option(1.0, "weight of -log sigmoid(cosine) beside L1")
    units: str | None = option(
        None, "folder of a teacher's units (`hf-rspin labels` --vocab_size 0): predict them"
    )
    unit_weight: float = option(1.0, "weight of their cross-entropy")
    unit_layer: int = option(-1, "hidden state of the student that tells units")
    unmasked_weight: float = option(0.0, "weight of that loss at frames that are not masked")
    mask_start: float = option(0.0, "share of frames that open a mask; 0: nothing is masked")
    mask_span: int = option(10, "frames that one mask covers")
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
    feature_encoder_gradient: float = option(
        1.0, "factor of the gradients of the convolutions (DistilHuBERT: 0.1); 0 freezes them"
    )
    teacher_cache: str | None = option(
        None, "folder of the teachers' features; default: teachers in the output folder"
    )
    teacher_bf16: bool = option(True, "bfloat16 in the teachers; off where a CPU emulates it")
    noise_probability: float = option(0.5, "share of the inputs that get noise, where it is given")
    speaker_probability: float = option(
        0.0, "share of the inputs without noise that get a second speaker"
    )
    noise_snr_low: float = option(-5.0, "least SNR of noise in dB")
    noise_snr_high: float = option(20.0, "greatest SNR of noise in dB")
    saved_dtype: str = option("float32", "of the saved weights: float32 or bfloat16")
    strict: bool = option(False, "stop at the first bad file")

    def __post_init__(self) -> None:
        super().__post_init__()
        SelectionArguments.__post_init__(self)
        self.student_config = mapping_option("student_config", self.student_config)
        if self.saved_dtype not in DTYPES:
            raise ValueError(f"saved_dtype is {self.saved_dtype!r}; expected float32 or bfloat16.")
        for name in ("noise_probability", "speaker_probability"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name):g}; expected 0 to 1.")
        if not self.noise_snr_low <= self.noise_snr_high:
            raise ValueError(
                f"noise_snr_low is {self.noise_snr_low:g} and noise_snr_high "
                f"{self.noise_snr_high:g}; expected the least one first."
            )
        if self.babble_probability != 0:
            raise ValueError(
                f"babble_probability is {self.babble_probability:g}, which distillation does not "
                "mix; expected 0: a second speaker comes with speaker_probability."
            )
        if not 0 <= self.mask_start <= 1 or self.mask_span < 1:
            raise ValueError(
                f"mask_start is {self.mask_start:g} and mask_span {self.mask_span}; expected a "
                "share of 0 to 1, and 1 frame or more."
            )
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
            ValueError: no teacher, student or corpus, or nothing to predict.
        """
        if not self.corpora:
            raise ValueError("no corpus was given; pass --corpora with one or more folders.")
        if not 1 <= len(self.teacher) <= 2:
            raise ValueError(
                f"got {len(self.teacher)} teachers; expected one or two: pass --teacher FOLDER "
                "[FOLDER]."
            )
        if not self.student:
            raise ValueError(
                "no student was given; pass --student copy:2, a YAML file or a folder."
            )
        if self.distillation_weight == 0 and self.units is None:
            raise ValueError(
                "distillation_weight is 0 and no units are given: nothing would be learned; pass "
                "--units, or leave the weight out."
            )
        if self.distillation_weight == self.unit_weight == 0:
            raise ValueError(
                "distillation_weight and unit_weight are 0: nothing would be learned; leave one "
                "of them out."
            )

    def layers_of_teachers(self) -> list[list[int]]:
        """Return the target layers of every teacher.

        Raises:
            ValueError: no numbers, or not one list per teacher.
        """
        try:
            lists = [[int(part) for part in str(text).split(",")] for text in self.target_layers]
        except ValueError:
            raise ValueError(
                f"target_layers are {self.target_layers}; expected numbers of layers, as 4 8 12, "
                "and of two teachers one list each, as 4,8 2,3."
            ) from None
        if len(self.teacher) == 1:
            lists = [[layer for part in lists for layer in part]]
        if self.distillation_weight == 0 and not self.target_layers:
            return [[] for _ in self.teacher]  # units alone
        if len(lists) != len(self.teacher) or not all(lists):
            raise ValueError(
                f"target_layers are {self.target_layers} for {len(self.teacher)} teacher(s); "
                "expected the layers of each, as 4 8 12, and of two teachers as 4,8 2,3."
            )
        return lists

    def layers_of_student(self, count: int) -> list[int]:
        """Return the student's layer for each of `count` targets.

        Raises:
            ValueError: neither one nor `count` layers.
        """
        given = list(self.student_layers)
        if len(given) not in (1, count):
            raise ValueError(
                f"student_layers are {given} for {count} target layers; expected one for all, or "
                "one for each."
            )
        return given * count if len(given) == 1 else given
