"""The fields that distillation adds to the config of a student."""

# no postponed annotations here: @strict checks types, and cannot read them from strings
from dataclasses import dataclass, field
from typing import ClassVar

from hf_rspin.models.configuration import HeadFields, check_number


@dataclass(kw_only=True)
class DistillationFields(HeadFields):
    """The fields of the throw-away heads of a student, and the rules they obey.

    Attributes:
        target_dims: dimension of the features of every target layer, the first teacher's first.
        student_layers: which of the student's `hidden_states` predicts each of them; -1 is its
            output.
        distillation_head: distilhubert (one shared Linear with GELU, a Linear per target), linear,
            or mlp (Linear, ReLU, Linear per target).
        distillation_weight: of L1 and cosine; 0 switches them off.
        cosine_weight: of -log sigmoid(cosine) beside L1.
        num_units: clusters of the teacher's features to be told; None: no such head.
        unit_weight: of their cross-entropy; 0 switches it off.
        unit_layer: which of the student's `hidden_states` tells them; -1 is its output.
        unmasked_weight: weight of that cross-entropy at frames that are not masked, beside masked
            ones; where nothing is masked, all frames count fully.
        final_dim: dimension of the embeddings of units.
    """

    head_field: ClassVar[str] = "target_dims"
    prefix: ClassVar[str] = "Distillation"
    objective: ClassVar[str] = "Distillation"

    target_dims: list[int] = field(default_factory=list)
    student_layers: list[int] = field(default_factory=list)
    distillation_head: str = "distilhubert"
    distillation_weight: float | int = 1.0
    cosine_weight: float | int = 1.0
    num_units: int | None = None
    unit_weight: float | int = 1.0
    unit_layer: int = -1
    unmasked_weight: float | int = 0.0
    final_dim: int = 256

    def validate_distillation(self) -> None:
        """Refuse heads that cannot be built or trained; called when a config is made."""
        heads = ("distilhubert", "linear", "mlp")
        if self.distillation_head not in heads:
            raise ValueError(
                f"distillation_head is {self.distillation_head!r}; expected one of "
                f"{', '.join(heads)}."
            )
        if len(self.target_dims) != len(self.student_layers):
            raise ValueError(
                f"student_layers names {len(self.student_layers)} layers for "
                f"{len(self.target_dims)} target layers; expected one for each."
            )
        for name in ("distillation_weight", "cosine_weight", "unit_weight", "unmasked_weight"):
            check_number(name, getattr(self, name), allow_zero=True)
        for layer in (*self.student_layers, self.unit_layer):
            if not -self.num_hidden_layers - 1 <= layer <= self.num_hidden_layers:
                raise ValueError(
                    f"the student is to be read at layer {layer}, but has hidden_states 0 to "
                    f"{self.num_hidden_layers}: name layers that it has."
                )
        if getattr(self, "layerdrop", 0) > 0:
            raise ValueError(
                f"layerdrop is {self.layerdrop}; expected 0: a dropped layer has no hidden state "
                "to read."
            )
        if self.distillation_head == "distilhubert" and len(set(self.student_layers)) > 1:
            raise ValueError(
                f"student_layers are {self.student_layers}, but the head of DistilHuBERT reads one "
                "layer for all targets: name one layer, or set distillation_head to linear."
            )
