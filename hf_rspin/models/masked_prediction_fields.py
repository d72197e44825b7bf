"""The fields that masked prediction adds to the config of an encoder."""

# no postponed annotations here: @strict checks types, and cannot read them from strings
from dataclasses import dataclass
from typing import ClassVar

from hf_rspin.models.configuration import HeadFields, check_count, check_number


@dataclass(kw_only=True)
class MaskedPredictionFields(HeadFields):
    """The fields of the throw-away heads of pre-training, and the rules they obey.

    The dropouts and the layer drop stay those of the encoder's own config.

    Attributes:
        apply_spec_augment: lets frames be hidden from the encoder.
        num_frame_labels: classes of the frame labels, such as k-means clusters.
        final_dim: dimension of the embeddings of labels.
        unmasked_weight: weight of the same loss at frames that are not masked: 0 in the published
            recipe, while a run of few updates leaves its first plateau much sooner with it.
        feature_penalty: weight of the mean square of what the convolutions give; published
            encoders have 10.
    """

    head_field: ClassVar[str] = "num_frame_labels"
    prefix: ClassVar[str] = "MaskedPrediction"
    objective: ClassVar[str] = "Masked prediction"
    training_defaults: ClassVar[dict] = {"apply_spec_augment": True}

    apply_spec_augment: bool = True
    num_frame_labels: int = 100
    final_dim: int = 256
    unmasked_weight: float | int = 0.0
    feature_penalty: float | int = 0.0

    def validate_masked_prediction(self) -> None:
        """Refuse heads that cannot be built or trained; called when a config is made."""
        check_count("num_frame_labels", self.num_frame_labels)
        check_count("final_dim", self.final_dim)
        for name in ("unmasked_weight", "feature_penalty"):
            check_number(name, getattr(self, name), allow_zero=True)
